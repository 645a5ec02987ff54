//! Texts by channel, language and reader.

use serde_json::json;

use crate::support::Several;
use crate::support::documented::{sent, verified};

fn text_and_code(world: &Several, number: &str) -> (String, String) {
    let message = world.twilio().messages_for(number).pop().expect("a message");
    (message.field("Body").to_owned(), world.twilio().code_for(number))
}

#[tokio::test]
async fn a_text_is_that_of_its_channel_and_of_the_readers_language() {
    let of_texts = json!({
        "en": "{code} is your code for {brand}",
        "de": "{code} ist dein Code für {brand}",
        "fr": "{code} est votre code pour {brand}",
    });
    let texts = json!({"sms": of_texts, "any": "Anyhow: your code is {code}"});
    let world = Several::reachable("Twilio", [("otp-messages", texts), ("brand", json!("Ada"))]).await;
    for (prefix, digits, asked, words) in [
        ("+49151", 8, None, "ist dein Code für Ada"),
        ("+336", 8, None, "est votre code pour Ada"),
        ("+1415", 7, None, "is your code for Ada"),
        ("+1415", 7, Some("de-AT"), "ist dein Code für Ada"),
    ] {
        let number = world.numbers.beginning(prefix, digits);
        let answer = match asked {
            Some(language) => world.send_with(&number, "locale", language).await,
            None => world.send(&number).await,
        };
        answer.expects(sent(&number, 5));
        let (text, code) = text_and_code(&world, &number);
        assert_eq!(text, format!("{code} {words}"));
    }
    let number = world.number();
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    assert!(text_and_code(&world, &number).0.starts_with("Anyhow: "));
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert!(world.twilio().calls_for(&number)[0].1.speech().starts_with("Anyhow: "));
}

#[tokio::test]
async fn the_last_line_is_for_the_browser_or_for_the_app_that_asks() {
    let world = Several::reachable("Twilio", [("webotp-domain", json!("example.com"))]).await;
    let number = world.number_with_message().await;
    let (text, code) = text_and_code(&world, &number);
    assert_eq!(text.lines().last(), Some(format!("@example.com #{code}").as_str()), "{text}");
    assert!(text.lines().count() > 1 && text.lines().next().unwrap().contains(&code), "{text}");
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    assert!(!text_and_code(&world, &number).0.contains("@example.com"), "only text messages have it");

    world.send_with(&number, "appHash", "FA+9qCX9VSu").await.expects(sent(&number, 5));
    let (text, code) = text_and_code(&world, &number);
    assert!(text.ends_with("FA+9qCX9VSu") && !text.contains("@example.com"), "{text}");
    world.verify(&number, &code).await.expects(verified(&number));
}
