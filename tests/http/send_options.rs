//! The options of a send.

use onceward::domain::Channel;
use onceward_testkit::{NUMBER, Setup, World};
use serde_json::json;

const BAD_BODY: &str = r#""message":"Invalid request body"}"#;

#[tokio::test]
async fn a_send_can_ask_for_a_channel_a_language_and_an_app() {
    for path in ["/api/send-otp", "/send-code"] {
        assert_eq!(sent(path, r#""channel":"whatsApp""#).await.0, Channel::WhatsApp);
        let (channel, text) = sent(path, r#""appHash":"FA+9qCX9VSu""#).await;
        assert!(channel == Channel::Sms && text.ends_with("FA+9qCX9VSu"), "{text}");
    }
    assert_eq!(sent("/api/send-otp", r#""locale":"de_at""#).await.1, "Ihr Code: CODE");
}

#[tokio::test]
async fn an_option_that_cannot_be_understood_is_ignored() {
    for fields in [
        r#""channel":null,"locale":null,"appHash":null"#,
        r#""channel":"pigeon""#,
        r#""channel":"""#,
        r#""channel":["sms"]"#,
        r#""channel":{"id":{"n":[1.5,null]}}"#,
        r#""channel":1"#,
        r#""locale":"""#,
        r#""locale":"english please""#,
        r#""locale":{}"#,
        r#""appHash":"""#,
        r#""appHash":"FA+9qCX9VS""#,
        r#""appHash":"@evil.io #1""#,
        r#""appHash":true"#,
    ] {
        for path in ["/api/send-otp", "/send-code"] {
            assert_eq!(sent(path, fields).await, sent(path, r#""x":1"#).await, "{path} {fields}");
        }
    }
}

#[tokio::test]
async fn an_option_that_is_given_twice_or_not_served_is_a_bad_body() {
    let world = World::new().await;
    for fields in
        [r#""channel":"call""#, r#""channel":"sms","channel":"sms""#, r#""channel":null,"channel":"sms""#]
    {
        for path in ["/api/send-otp", "/send-code"] {
            let reply = world.post(path, &body(fields)).await;
            assert_eq!(reply.status, 400, "{path} {fields}");
            assert!(reply.body.ends_with(BAD_BODY), "{}", reply.body);
        }
    }
}

/// The channel and the text of the message after a request with these fields and a number.
async fn sent(path: &str, fields: &str) -> (Channel, String) {
    let german = json!({ "sms": { "de": "Ihr Code: {code}" } });
    let world = World::with(Setup::of(json!({ "otp-messages": german }))).await;
    assert_eq!(world.post(path, &body(fields)).await.status, 200, "{path} {fields}");
    let message = world.messages().remove(0);
    (message.channel, message.text.replace(message.code.expose(), "CODE"))
}

fn body(fields: &str) -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}",{fields}}}"#)
}
