//! The options of a send.

use onceward::domain::{Channel, Locale};
use onceward::template::{AppHash, MessageStyle, Wording};
use onceward::verification::numbers::{SendOptions, SendOutcome};
use onceward_testkit::{Call, NUMBER, Script, World};

const BAD_BODY: &str = r#""message":"Invalid request body"}"#;

#[tokio::test]
async fn a_send_can_ask_for_a_channel_a_language_and_an_app() {
    let fields = r#""channel":"whatsApp","locale":"pt_br","appHash":"FA+9qCX9VSu""#;
    let style = MessageStyle {
        locale: Locale::parse("pt-BR"),
        app_hash: AppHash::parse("FA+9qCX9VSu"),
        send_digits: None,
        sender_name: None,
        wording: Wording::Api,
    };
    let expected = Call::Send {
        number: NUMBER.to_owned(),
        options: None,
        channel: Some(Channel::WhatsApp),
        style: style.clone(),
    };
    assert_eq!(asked("/api/send-otp", fields).await, [expected]);
    let expected = Call::Send {
        number: NUMBER.to_owned(),
        options: Some(SendOptions::DEFAULT),
        channel: Some(Channel::WhatsApp),
        style: MessageStyle { wording: Wording::Tutorial, ..style },
    };
    assert_eq!(asked("/send-code", fields).await, [expected]);
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
            assert_eq!(asked(path, fields).await, asked(path, r#""x":1"#).await, "{path} {fields}");
        }
    }
}

#[tokio::test]
async fn an_option_that_is_given_twice_or_not_served_is_a_bad_body() {
    let world = World::scripted(Script::panics()).await;
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

/// The calls after a request with these fields and a number.
async fn asked(path: &str, fields: &str) -> Vec<Call> {
    let script = Script::sends(SendOutcome::NumberRefused);
    World::scripted(script.clone()).await.post(path, &body(fields)).await;
    script.asked()
}

fn body(fields: &str) -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}",{fields}}}"#)
}
