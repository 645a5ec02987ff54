//! Calls, `WhatsApp` messages and texts: when each is sent, and what the person reads or hears.

use super::twilio_refuses;
use crate::support::prelude::*;

/// Twilio's codes for a number that text messages do not reach.
const LANDLINE: [u32; 4] = [21_614, 30_006, 60_205, 21_612];

#[tokio::test]
async fn a_landline_is_called_and_hears_the_digits_one_by_one_twice() {
    let world = Several::reachable("Twilio;Http", []).await;
    for code in LANDLINE {
        let number = world.number_with([twilio_refuses(code)]);
        world.accepts(&number).await;
        assert!(world.plain().received_for(&number).is_empty(), "{code}: a text would not arrive");
        let calls = world.twilio().calls_for(&number);
        assert_eq!(calls.len(), 1, "{code}");
        let (call, twiml) = &calls[0];
        assert_eq!(call.field("From"), SENDER);

        let code = twiml.code().expect("a code is read out");
        let speech = twiml.speech();
        assert_eq!(speech.matches(&one_by_one(&code)).count(), 2, "{speech}");
        assert!(!speech.contains(&code), "the call reads {code} as one number");
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn a_number_that_its_plan_lists_as_a_landline_is_called_at_once() {
    let world = Several::reachable("Twilio;Http", []).await;
    let number = "+493012345678";
    world.accepts(number).await;
    assert_eq!(world.twilio().calls_for(number).len(), 1);
    assert_eq!(world.doubles.sends_to(number), [1, 0, 0, 0], "no text");
    let listed = world.setup.command(["guard", "list"]).await.output;
    assert!(!listed.contains("refused"), "a call is no refusal: {listed}");
}

#[tokio::test]
async fn without_voice_a_landline_is_a_bad_request_and_gets_no_call() {
    for setting in ["voice", "voice-fallback"] {
        let world = Several::reachable("Twilio;Http", [(setting, json!(false))]).await;
        let number = world.number_with([twilio_refuses(21_614)]);
        world.send(&number).await.expects(bad_request());
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0], "{setting}");
    }
}

#[tokio::test]
async fn with_the_gate_nothing_is_read_out_before_a_key_is_pressed() {
    let world = Several::reachable("Twilio;Http", [("voice-gate", json!(true))]).await;
    let number = world.number_with([twilio_refuses(21_614)]);
    world.accepts(&number).await;
    let (call, twiml) = &world.twilio().calls_for(&number)[0];
    assert_eq!(twiml.code(), None, "an answering machine would record it: {}", twiml.speech());
    let on_key = twiml.on_key.as_deref().expect("a key is asked for");
    assert!(on_key.starts_with(PUBLIC_URL), "{on_key}");

    let key = Report::key_pressed(call, on_key);
    for refused in [key.clone().unsigned(), key.clone().signed_with("another token")] {
        refused.send(&world).await.expects_status(403);
    }
    let answer = key.send(&world).await.expects_status(200);
    assert!(answer.header("content-type").contains("xml"));
    let heard = Twiml::parse(&answer.text()).expect("instructions");
    let code = heard.code().expect("a code is read out");
    assert_eq!(heard.speech().matches(&one_by_one(&code)).count(), 2, "{}", heard.speech());
    world.verify(&number, &code).await.expects(verified(&number));

    // The code is used: pressing a key now repeats none.
    let answer = key.send(&world).await;
    assert!(!answer.text().contains(&one_by_one(&code)), "{}", answer.text());
}

#[tokio::test]
async fn behind_the_gate_a_call_speaks_the_text_of_its_send() {
    let templates = json!({ "login": {
        "channels": ["call"], "default-locale": "en",
        "translations": { "en": "{code} opens {friendly_name}", "de": "{code} öffnet {friendly_name}" },
    }});
    let world = Several::of("Twilio;Http", |_, setup| {
        V2::account(setup)
            .config("voice", true)
            .config("voice-gate", true)
            .config("public-url", PUBLIC_URL)
            .config("brand", "Default Brand")
            .config("templates", templates)
    })
    .await;
    let v2 = V2::of(&world);
    let path = format!("{}/Verifications", v2.service(&[]).await);
    let listed = v2.get("/Templates?FriendlyName=login").await.json();
    let login = listed["templates"][0]["sid"].as_str().expect("an id").to_owned();
    for (fields, words) in [
        (vec![], "Owl Bank"),
        (vec![("CustomFriendlyName", "Barn Owls & Söhne")], "Barn Owls & Söhne"),
        (vec![("TemplateSid", login.as_str()), ("Locale", "de")], "öffnet Owl Bank"),
    ] {
        let number = world.number();
        let mut form = vec![("To", number.as_str()), ("Channel", "call")];
        form.extend(fields);
        v2.post(&path, &form).await.expects_status(201);
        let heard = behind_the_gate(&world, &number).await;
        assert!(heard.contains(words) && !heard.contains("Default Brand"), "{words}: {heard}");
    }
    let number = world.number_with([twilio_refuses(21_614)]);
    assert_eq!(world.send_code(&number).await.status(), 200);
    let heard = behind_the_gate(&world, &number).await;
    assert!(heard.contains("Hello from Default Brand"), "the tutorial's text: {heard}");
}

/// What a called person hears after a key is pressed.
async fn behind_the_gate(world: &Several, number: &str) -> String {
    let (call, twiml) = &world.twilio().calls_for(number)[0];
    let on_key = twiml.on_key.as_deref().expect("a key is asked for");
    let answer = Report::key_pressed(call, on_key).send(world).await.expects_status(200);
    Twiml::parse(&answer.text()).expect("instructions").speech().clone()
}

#[tokio::test]
async fn a_client_can_ask_for_a_call() {
    let world = Several::reachable("Twilio;Http", []).await;
    let number = world.number();
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0]);
    let code = world.twilio().calls_for(&number)[0].1.code().expect("a code is read out");
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_number_without_whatsapp_gets_a_text_message_if_it_takes_one() {
    let world = Several::reachable("Twilio", [("voice", json!(false))]).await;
    for (replies, is_sent) in [(vec![63_003], true), (vec![63_024], true), (vec![63_003, 21_614], false)] {
        let number = world.number_with(replies.iter().copied().map(twilio_refuses));
        let answer = if is_sent { sent(&number, 5) } else { bad_request() };
        world.send_by(&number, "whatsapp").await.expects(answer);
        let messages = world.twilio().messages_for(&number);
        let addresses: Vec<&str> = messages.iter().map(|message| message.field("To")).collect();
        assert_eq!(addresses, [&format!("whatsapp:{number}"), &number], "{replies:?}");
        if is_sent {
            world.verifies_by_twilio(&number).await;
        }
    }
}

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

#[tokio::test]
async fn a_message_is_submitted_as_mada_wants_it_and_its_code_verifies() {
    let text = json!("<A> & \"B\": {code} ist dein Code, größer > 1");
    let world = Several::with("Mada", [("otp-message", text)]).await;
    // The double uses another prefix in each answer.
    for _ in 0..4 {
        let number = world.number_with_message().await;
        let submitted = world.mada().submitted_for(&number);
        let code = world.mada().code_for(&number);
        assert_eq!(submitted.len(), 1);
        assert_eq!(submitted[0].source, MADA_SOURCE);
        assert_eq!(submitted[0].text, format!("<A> & \"B\": {code} ist dein Code, größer > 1"));
        world.verify(&number, &code).await.expects(verified(&number));
    }
}
