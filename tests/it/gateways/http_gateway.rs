//! A gateway that the configuration describes, such as Mobica.

use serde_json::{Value, json};

use crate::support::documented::{bad_request, failed, sent, verified};
use crate::support::{Doubles, Reply, Setup, Several, SmsGateway, all_configured};

/// The ways to describe the double.
const VARIANTS: [fn(&SmsGateway) -> Value; 3] =
    [SmsGateway::json_settings, SmsGateway::form_settings, SmsGateway::get_settings];

async fn described(gateways: &str, settings: impl FnOnce(&SmsGateway) -> Value) -> Several {
    Several::of(gateways, |doubles, setup| setup.config("http-gateway", settings(&doubles.plain))).await
}

#[tokio::test]
async fn a_message_leaves_as_json_as_a_form_and_in_the_address() {
    for settings in VARIANTS {
        let world = Several::of("Http", |doubles, setup| {
            setup
                .config("http-gateway", settings(&doubles.plain))
                .config("otp-message", "50% & more? \"{code}\" \\ = dein Code + ü")
        })
        .await;
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 5));
        let code = world.plain().code_for(&number);
        let texts = world.plain().texts_for(&number);
        assert_eq!(texts, [format!("50% & more? \"{code}\" \\ = dein Code + ü")]);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn a_value_that_does_not_mean_success_leads_to_the_next_gateway() {
    let world = described("Http;Twilio", SmsGateway::json_settings).await;
    let number = world.number();
    world.plain().plan(&number, [Reply::Refuse { status: 200, code: 99 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1]);
}

/// A missing text proves nothing: the message may have left.
#[tokio::test]
async fn an_answer_without_the_text_of_success_leads_to_the_next_gateway() {
    for settings in [SmsGateway::form_settings, SmsGateway::get_settings] {
        let world = described("Http;Twilio", settings).await;
        let number = world.number();
        world.plain().plan(&number, [Reply::Refuse { status: 200, code: 99 }]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1]);
    }
}

#[tokio::test]
async fn a_value_can_say_that_there_is_no_such_number() {
    let world = described("Http;Twilio", SmsGateway::json_settings).await;
    for status in [200, 400] {
        let number = world.number();
        world.plain().plan(&number, [Reply::Refuse { status, code: 11 }]);
        world.send(&number).await.expects(bad_request());
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 0, 1], "{status}");
    }
}

#[tokio::test]
async fn a_value_can_say_that_the_message_may_be_taken_later() {
    let world = described("Http", SmsGateway::json_settings).await;
    let number = world.number();
    world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [0, 0, 0, 2]);
}

#[tokio::test]
async fn a_status_that_is_not_in_the_list_is_no_success() {
    let world = described("Http", |plain| {
        let mut settings = plain.form_settings();
        settings["success"] = json!({"statuses": [202]});
        settings
    })
    .await;
    let number = world.number();
    world.send(&number).await.expects(failed());
}

#[tokio::test]
async fn the_providers_id_of_the_message_is_kept() {
    let world = described("Http", SmsGateway::json_settings).await;
    let number = world.number();
    world.send_code(&number).await.expects_message(200, "Message sent with id: plain-1");
}

#[tokio::test]
async fn a_description_that_makes_no_sense_stops_the_start_and_says_where() {
    let doubles = Doubles::start().await;
    let url = doubles.plain.json_settings()["url"].clone();
    for (settings, word) in [
        (json!({"method": "POST", "json": {"to": "{to}", "text": "{text}"}}), "url"),
        (json!({"method": "FETCH", "url": url, "json": {"text": "{text}"}}), "FETCH"),
        (json!({"method": "POST", "url": url, "json": {"text": "{txt}"}}), "{txt}"),
        (
            json!({"method": "POST", "url": url, "json": {"text": "{text}"}, "form": {"text": "{text}"}}),
            "form",
        ),
        (json!({"method": "POST", "url": "not a url", "json": {"text": "{text}"}}), "http-gateway.url"),
        (json!({"method": "POST", "url": url, "json": {"to": "{to}", "text": "hello"}}), "{text}"),
    ] {
        let setup = all_configured(&doubles, Setup::new())
            .config("otp-sms-provider", "Http")
            .config("http-gateway", settings.clone());
        let finished = setup.command(["--check"]).await;
        assert_eq!(finished.status.code(), Some(64), "{settings}: {}", finished.output);
        for word in ["http-gateway", word] {
            assert!(
                finished.output.contains(word),
                "{settings}: {word:?} is missing in:\n{}",
                finished.output
            );
        }
    }
}
