//! The texts of messages.

use std::sync::Arc;

use serde_json::json;

use super::world::{ANNA, Own, World};
use crate::otp::{Channel, GatewayName, Locale, MessageStyle, Otp, OtpBuilder, OtpError};

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
        let texts = json!({
            "sms": { "de": "sms de {code}", "en": "sms {code}" },
            "any": { "de": "de {code}" },
            "call": "call {code}",
        });
        builder
            .set("brand", "Acme")
            .set("otp-message", "any {brand} {code} {minutes}")
            .set("otp-messages", texts)
            .set("otp-timeout", 90)
            .set("voice", true)
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
    let (otp, own, _world) = with(|builder| builder.set("brand", "Acme")).await;
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
