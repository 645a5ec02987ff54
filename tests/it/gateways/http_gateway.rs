//! A gateway that the configuration describes, such as Mobica.

use serde_json::Value;

use crate::support::{Several, SmsGateway};

/// The ways to describe the double.
const VARIANTS: [fn(&SmsGateway) -> Value; 3] =
    [SmsGateway::json_settings, SmsGateway::form_settings, SmsGateway::get_settings];

#[tokio::test]
async fn a_message_leaves_as_json_as_a_form_and_in_the_address() {
    for settings in VARIANTS {
        let world = Several::of("Http", |doubles, setup| {
            setup
                .config("http-gateway", settings(&doubles.plain))
                .config("otp-message", "50% & more? \"{code}\" \\ = dein Code + ü")
        })
        .await;
        let number = world.number_with_message().await;
        let code = world.plain().code_for(&number);
        let texts = world.plain().texts_for(&number);
        assert_eq!(texts, [format!("50% & more? \"{code}\" \\ = dein Code + ü")]);
        world.verifies_by_plain(&number).await;
    }
}
