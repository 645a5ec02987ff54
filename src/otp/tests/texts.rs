//! The texts of messages.

use std::sync::Arc;

use super::world::{ANNA, Own, World, secs};
use crate::otp::{
    Channel, CodeLength, GatewayName, Locale, MessageStyle, Otp, OtpBuilder, OtpError, StartError,
};

async fn with(builder: impl FnOnce(OtpBuilder) -> OtpBuilder) -> (Otp, Arc<Own>, World) {
    let world = World::new();
    let own = Arc::new(Own::new(GatewayName::Http).serving(&Channel::ALL));
    let otp = builder(world.builder().gateway(own.clone())).start().await.expect("an engine");
    (otp, own, world)
}

fn german() -> Option<Locale> {
    Locale::parse("de")
}

#[tokio::test]
async fn a_message_is_worded_by_channel_and_language() {
    let (otp, own, _world) = with(|builder| {
        builder
            .brand("Acme")
            .message("any {brand} {code} {minutes}")
            .text(Channel::Sms, german(), "sms de {code}")
            .text(Channel::Sms, None, "sms {code}")
            .text(None, german(), "de {code}")
            .text(Channel::Call, None, "call {code}")
            .code(CodeLength::SIX, secs(90))
            .voice(true)
    })
    .await;
    let in_german = MessageStyle { locale: german(), ..MessageStyle::default() };
    otp.send_sms(ANNA).await.expect("sent");
    otp.send(ANNA, None, in_german.clone()).await.expect("sent");
    otp.send(ANNA, Some(Channel::WhatsApp), in_german).await.expect("sent");
    otp.send(ANNA, Some(Channel::WhatsApp), MessageStyle::default()).await.expect("sent");
    otp.call(ANNA).await.expect("sent");
    let sent = own.sent();
    let code = |at: usize| &sent[at].code;
    assert_eq!(sent[0].text, format!("sms {}", code(0)));
    assert_eq!(sent[1].text, format!("sms de {}", code(1)));
    assert_eq!(sent[2].text, format!("de {}", code(2)));
    assert_eq!(sent[3].text, format!("any Acme {} 2", code(3)));
    let digits: Vec<String> = code(4).chars().map(|digit| format!("{digit}.")).collect();
    assert_eq!(sent[4].text, format!("call {}", digits.join(" ")));
}

#[tokio::test]
async fn a_text_of_the_callers_own_has_the_code_in_it() {
    let (otp, own, _world) = with(|builder| builder.brand("Acme")).await;
    otp.send_sms_with(ANNA, "{brand}: _CODE_").await.expect("sent");
    let sent = own.sent();
    assert_eq!(sent[0].text, format!("Acme: {}", sent[0].code));
}

#[tokio::test]
async fn a_text_without_a_place_for_the_code_is_an_error_and_nothing_is_sent() {
    let (otp, own, _world) = with(|builder| builder).await;
    for (text, words) in [
        ("Hello", "must contain {code}"),
        ("", "must contain {code}"),
        ("{code} {name}", "{name}"),
        (&format!("{{code}}{}", "x".repeat(1_600)), "at most 1600"),
    ] {
        let refused = otp.send_sms_with(ANNA, text).await;
        assert!(matches!(&refused, Err(OtpError::Text(why)) if why.contains(words)), "{text:?}: {refused:?}");
    }
    assert!(own.sent().is_empty());
}

#[tokio::test]
async fn a_text_that_cannot_be_used_is_named_at_the_start() {
    for (setting, words, builder) in [
        ("message", "{code}", World::new().builder().message("Hello")),
        ("text", "{code}", World::new().builder().text(Channel::Sms, None, "Hello")),
        (
            "text",
            "another text for the same",
            World::new().builder().text(None, german(), "{code}").text(None, german(), "{code}!"),
        ),
        ("brand", "must not be empty", World::new().builder().brand(" ")),
        ("brand", "line breaks", World::new().builder().brand("A\nB")),
        ("webotp_domain", "host name", World::new().builder().webotp_domain("https://example.com")),
    ] {
        let Err(StartError::Setting(error)) = builder.start().await else { panic!("{setting} was taken") };
        assert_eq!(error.setting, setting, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
