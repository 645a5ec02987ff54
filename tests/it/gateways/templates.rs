//! Texts by channel, language and reader.

use serde_json::{Value, json};

use crate::support::documented::{sent, verified};
use crate::support::{Several, WHATSAPP_SENDER};

async fn with_texts<const N: usize>(settings: [(&str, Value); N]) -> Several {
    Several::of("Twilio", |_, setup| {
        let setup = setup.config("voice", true).env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
        settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value))
    })
    .await
}

fn text_and_code(world: &Several, number: &str) -> (String, String) {
    let message = world.twilio().messages_for(number).pop().expect("a message");
    (message.field("Body").to_owned(), world.twilio().code_for(number))
}

fn in_three_languages() -> Value {
    json!({"sms": {
        "en": "{code} is your code for {brand}",
        "de": "{code} ist dein Code für {brand}",
        "fr": "{code} est votre code pour {brand}",
    }})
}

#[tokio::test]
async fn the_language_is_that_of_the_numbers_country() {
    let world = with_texts([("otp-messages", in_three_languages()), ("brand", json!("Ada"))]).await;
    for (prefix, digits, words) in [
        ("+49151", 8, "ist dein Code für Ada"),
        ("+336", 8, "est votre code pour Ada"),
        ("+1415", 7, "is your code for Ada"),
    ] {
        let number = world.numbers.beginning(prefix, digits);
        world.send(&number).await.expects(sent(&number, 5));
        let (text, code) = text_and_code(&world, &number);
        assert_eq!(text, format!("{code} {words}"));
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn where_there_is_no_text_in_that_language_the_default_one_is_taken() {
    let world = with_texts([
        ("otp-messages", in_three_languages()),
        ("brand", json!("Ada")),
        ("default-locale", json!("fr")),
    ])
    .await;
    let number = world.numbers.beginning("+35987", 7);
    world.send(&number).await.expects(sent(&number, 5));
    let (text, code) = text_and_code(&world, &number);
    assert_eq!(text, format!("{code} est votre code pour Ada"));
}

#[tokio::test]
async fn a_client_can_ask_for_a_language() {
    let world = with_texts([("otp-messages", in_three_languages()), ("brand", json!("Ada"))]).await;
    let number = world.number();
    world.send_in(&number, "de-AT").await.expects(sent(&number, 5));
    let (text, code) = text_and_code(&world, &number);
    assert_eq!(text, format!("{code} ist dein Code für Ada"));
}

#[tokio::test]
async fn each_channel_has_its_text_and_any_serves_the_rest() {
    let texts = json!({"sms": "Text: your code is {code}", "any": "Anyhow: your code is {code}"});
    let world = with_texts([("otp-messages", texts)]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    assert!(text_and_code(&world, &number).0.starts_with("Text: "));
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    assert!(text_and_code(&world, &number).0.starts_with("Anyhow: "));
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert!(world.twilio().calls_for(&number)[0].1.speech().starts_with("Anyhow: "));
}

#[tokio::test]
async fn minutes_are_rounded_up() {
    for (life, minutes) in [("90s", 2), ("30s", 1), ("10m", 10)] {
        let world = with_texts([
            ("otp-message", json!("Your code is {code}. It is good for {minutes} min")),
            ("otp-timeout", json!(life)),
        ])
        .await;
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 5));
        let (text, code) = text_and_code(&world, &number);
        assert_eq!(text, format!("Your code is {code}. It is good for {minutes} min"));
    }
}

#[tokio::test]
async fn the_last_line_lets_the_browser_fill_in_the_code() {
    let world = with_texts([("webotp-domain", json!("example.com"))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let (text, code) = text_and_code(&world, &number);
    assert_eq!(text.lines().last(), Some(format!("@example.com #{code}").as_str()), "{text}");
    assert!(
        text.lines().count() > 1 && text.lines().next().is_some_and(|line| line.contains(&code)),
        "{text}"
    );

    // Only text messages have this line.
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    assert!(!text_and_code(&world, &number).0.contains("@example.com"));
}

#[tokio::test]
async fn an_android_app_finds_its_hash_at_the_end_in_place_of_the_browsers_line() {
    let world = with_texts([("webotp-domain", json!("example.com"))]).await;
    let number = world.number();
    world.send_for_app(&number, "FA+9qCX9VSu").await.expects(sent(&number, 5));
    let (text, code) = text_and_code(&world, &number);
    assert!(text.ends_with("FA+9qCX9VSu"), "{text}");
    assert!(text.contains(&code) && !text.contains("@example.com"), "{text}");
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_text_without_a_place_for_the_code_stops_the_start_and_says_which() {
    let setup = with_texts([]).await.setup;
    let texts = json!({"sms": {"de": "Dein Code ist {code}", "fr": "Bonjour"}});
    let finished = setup.config("otp-messages", texts).run().await;
    assert_eq!(finished.status.code(), Some(64), "{}", finished.output);
    for word in ["otp-messages", "fr", "{code}"] {
        assert!(finished.output.contains(word), "{word:?} is missing in:\n{}", finished.output);
    }
}
