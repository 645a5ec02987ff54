//! Numbers and codes as people type and paste them, at each door: one spelling of the right value is as good as another,
//! and what is no code is not counted. The tests of `domain::code` and `domain::phone` have every spelling.

use onceward::otp::{Otp, OtpError};

use crate::support::prelude::*;

const NUMBER: &str = "+14155550123";

/// Spellings of [`NUMBER`].
const NUMBERS: [&str; 4] =
    ["\u{202a}+14155550123\u{202c}", " \u{feff}+1 (415) 555-0123", "+١٤١٥٥٥٥٠١٢٣", " 14155550123"];

/// Spellings of a code of six digits.
fn spellings(code: &str) -> [String; 4] {
    let (head, tail) = code.split_at(3);
    [
        format!("{head} {tail}\n"),
        format!("\u{202a}{code}\u{202c}"),
        format!("Your Acme Shop code is {code}. It ends in 2027."),
        format!("Code: {code}"),
    ]
}

/// Texts that hold no code.
const NO_CODES: [&str; 3] = ["123", "Please send me a new code", "Your code is 111111 or 222222, I think"];

#[tokio::test]
async fn every_spelling_of_a_number_and_its_code_is_right_at_every_door() {
    let (world, v2, service) = World::with_service(Setup::new().config("default-region", "US")).await;
    for (index, spelled) in NUMBERS.into_iter().enumerate() {
        let begun = v2.begins(&service, spelled).await.expects_status(201).json();
        assert_eq!(begun["to"], NUMBER, "{spelled:?}");
        let spelled_code = || spellings(&world.twilio().code_for(NUMBER))[index].clone();
        v2.checks_number(&service, NUMBERS[0], &spelled_code()).await.tells(200, "approved");
        world.send(spelled).await.expects(sent(NUMBER, 5));
        world.verify(spelled, &spelled_code()).await.expects(verified(NUMBER));
        world.send_code(spelled).await.expects_status(200);
        world.verify_code(spelled, &spelled_code()).await.expects_message(200, "This is a valid match!");
        let entry = v2.post("/Guard/Entries", &[("Subject", spelled), ("Action", "allow")]).await;
        assert!(entry.status() < 300, "{spelled:?}: {}", entry.text());
    }
    world.send("(415) 555-0123").await.expects(sent(NUMBER, 5));
}

#[tokio::test]
async fn a_refused_number_names_its_sign_or_its_plan() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let length = "no number with the country code +1 has this length";
    for (number, why, reason) in [
        ("+1415555012x", "U+0078", "U+0078"),
        ("+1415555012\u{b2}", "U+00B2", "U+00B2"),
        ("+22507123456", "ten digits since 31 January 2021", "ten digits since"),
        ("+141555501", length, length),
    ] {
        v2.begins(&service, number).await.tells(400, "60200").says([why]);
        let refused = world.send(number).await.expects_status(400);
        refused.header("x-onceward-reason").says([reason]);
    }
    assert!(world.twilio().received().is_empty());
}

#[tokio::test]
async fn what_holds_no_code_is_not_counted_and_a_guess_is() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("CustomCodeEnabled", "true")]).await;
    let sid = sid(&v2.begins_with(&service, NUMBER, &[("CustomCode", "Ab12")]).await.expects_status(201));
    for text in NO_CODES.iter().cycle().take(8) {
        v2.checks(&service, &sid, text).await.tells(400, "60200");
    }
    // The case of letters counts.
    v2.checks(&service, &sid, "ab12").await.tells(200, "pending");
    v2.checks(&service, &sid, "Ab-12").await.tells(200, "approved");

    let (number, code) = world.number_with_code().await;
    for text in NO_CODES.iter().cycle().take(8) {
        world.verify(&number, text).await.expects(incorrect(&number, 5));
        world.verify_code(&number, text).await.expects_status(400);
    }
    for (guess, left) in [("abcdef", 4), ("12345", 3), ("Ä1234", 2)] {
        world.verify(&number, guess).await.expects(incorrect(&number, left));
    }
    world.verify(&number, NO_CODES[0]).await.expects(incorrect(&number, 2));
    world.verify(&number, "").await.expects(bad_request());
    world.verify(&number, &code).await.expects(verified(&number));
    let strange = world.number();
    world.verify(&strange, "12").await.expects(incorrect(&strange, 5));
    let (locked_out, _) = world.locked_out().await;
    world.verify(&locked_out, "12").await.expects(locked(&locked_out, 30));
}

#[tokio::test]
async fn the_tutorial_takes_a_number_for_a_code_unless_it_may_have_lost_zeros() {
    let world = World::new().await;
    let check = async |number: &str, code: Value| {
        world.post("/verify-code", json!({"phoneNumber": number, "smsCode": code}).to_string()).await
    };
    let number = loop {
        let (number, code) = world.number_with_code().await;
        if !code.starts_with('0') {
            break number;
        }
    };
    for lost in [json!(47_838), json!(0)] {
        check(&number, lost).await.expects_status(400).says(["must be a text"]);
    }
    for other in [json!(-123_456), json!(12345.5), json!(true), json!(null)] {
        check(&number, other).await.expects_status(400);
    }
    let code: u64 = world.twilio().code_for(&number).parse().expect("digits");
    let body = json!({"user": {"phoneNumber": number}, "code": code}).to_string();
    world.post("/api/verify-otp", body).await.expects(bad_request());
    check(&number, json!(code)).await.expects_message(200, "This is a valid match!");
}

#[tokio::test]
async fn the_old_and_the_new_form_of_a_number_are_one_person() {
    let setup = Setup::new().env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
    let (world, v2, service) = World::with_service(setup).await;
    let begun = async |form: &str| v2.begins(&service, form).await.expects_status(201).json();
    let (old, new) = (begun("+5215512345678").await, begun("+525512345678").await);
    assert_eq!((&old["to"], &old["sid"]), (&json!("+525512345678"), &new["sid"]));
    // `/api` repeats the caller's form.
    world.send("+52 1 55 1234 5678").await.expects(sent("+5215512345678", 5));
    let code = world.twilio().code_for("+525512345678");
    world.verify("+525512345678", &wrong(&code)).await.expects(incorrect("+525512345678", 4));
    world.verify("+5215512345678", &code).await.expects(verified("+5215512345678"));

    // WhatsApp knows the accounts of Mexico by the old form.
    v2.post(&format!("{service}/Verifications"), &[("To", "+525587654321"), ("Channel", "whatsapp")]).await;
    let received = world.twilio().received();
    assert!(received.iter().any(|message| message.field("To") == "whatsapp:+5215587654321"));
}

#[tokio::test]
async fn a_landline_and_a_mobile_number_of_argentina_are_two_and_the_refusal_has_a_hint() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("SkipSmsToLandlines", "true")]).await;
    v2.begins(&service, "+541123456789").await.tells(403, "60205").says(["a 9 after 54"]);
    let carried = [("To", "+541123456789"), ("Code", "123456")];
    v2.post(&format!("{service}/Messages"), &carried).await.tells(403, "60205").says(["a 9 after 54"]);
    v2.begins(&service, "+5491123456789").await.expects_status(201);
    assert_eq!(world.twilio().received().len(), 1);
}

#[tokio::test]
async fn the_library_reads_numbers_and_codes_as_people_mean_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let otp = Otp::builder(directory.path()).start().await.expect("a start");
    for spelled in NUMBERS {
        otp.send_sms(spelled).await.expect("a message");
        for text in NO_CODES {
            let verified = otp.verify(NUMBER, text).await;
            assert_eq!((verified.code_valid(), verified.attempts_left()), (false, Some(5)), "{text:?}");
        }
        // The library's codes have five digits.
        let code = otp.inbox_code(NUMBER).expect("a code");
        assert!(otp.verify(spelled, &format!(" {code}\n")).await.code_valid(), "{spelled:?}");
    }
    let refused = otp.send_sms("+22507123456").await.expect_err("refused");
    let is_named = matches!(refused, OtpError::Number(_)) && refused.to_string().contains("ten digits");
    assert!(is_named, "{refused}");
    otp.stop().await.expect("a stop");
}
