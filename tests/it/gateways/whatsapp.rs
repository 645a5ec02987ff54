//! `WhatsApp` messages through Twilio.

use serde_json::Value;

use crate::support::documented::{bad_request, sent, verified};
use crate::support::{Reply, Several, WHATSAPP_SENDER};

async fn with_whatsapp<const N: usize>(settings: [(&str, Value); N]) -> Several {
    Several::of("Twilio", |_, setup| {
        let setup = setup.env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
        settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value))
    })
    .await
}

#[tokio::test]
async fn a_whatsapp_message_goes_from_one_whatsapp_address_to_another() {
    let world = with_whatsapp([]).await;
    let number = world.number();
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    let messages = world.twilio().messages_for(&number);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].field("To"), format!("whatsapp:{number}"));
    assert_eq!(messages[0].field("From"), format!("whatsapp:{WHATSAPP_SENDER}"));
    let code = world.twilio().code_for(&number);
    assert!(messages[0].field("Body").contains(&code));
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_number_without_whatsapp_gets_a_text_message() {
    let world = with_whatsapp([]).await;
    for code in [63_003, 63_024] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::Refuse { status: 400, code }]);
        world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
        let messages = world.twilio().messages_for(&number);
        let addresses: Vec<&str> = messages.iter().map(|message| message.field("To")).collect();
        assert_eq!(addresses, [&format!("whatsapp:{number}"), &number], "{code}");
        let code = world.twilio().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn a_number_without_whatsapp_that_takes_no_text_either_is_a_bad_request() {
    let world = with_whatsapp([]).await;
    let number = world.number();
    let replies = [63_003, 21_614].map(|code| Reply::Refuse { status: 400, code });
    world.twilio().plan(&number, replies);
    world.send_by(&number, "whatsapp").await.expects(bad_request());
    assert_eq!(world.doubles.sends_to(&number), [2, 0, 0, 0]);
}
