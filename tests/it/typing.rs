//! Numbers and codes as people type and paste them, at each door: one spelling of the right value is as good as another,
//! and what is no code is not counted.

use onceward::otp::{Otp, OtpError};

use crate::support::prelude::*;

const NUMBER: &str = "+14155550123";

/// Spellings of [`NUMBER`].
const NUMBERS: [&str; 13] = [
    "\u{202a}+14155550123\u{202c}",
    "+1\u{a0}415\u{a0}5550123",
    "+1\u{2011}415\u{2011}5550123",
    "\u{feff}+1 (415) 555-0123",
    "+١٤١٥٥٥٥٠١٢٣",
    "+۱۴۱۵۵۵۵۰۱۲۳",
    "\u{ff0b}１４１５５５５０１２３",
    "tel:+1-415-555-0123",
    " +14155550123",
    "(+1) 415 555 0123",
    " 14155550123",
    "tel: 14155550123",
    "\u{202a} 14155550123\u{202c}",
];

/// Spellings of a code of six digits.
fn spellings(code: &str) -> Vec<String> {
    let (head, tail) = code.split_at(3);
    let in_script = |zero: u32| {
        let digit =
            |digit: char| char::from_u32(zero + digit.to_digit(10).expect("a digit")).expect("a digit");
        code.chars().map(digit).collect::<String>()
    };
    vec![
        format!("{code} "),
        format!("{code}\n"),
        format!("{head} {tail}"),
        format!("{head}-{tail}"),
        format!("{head}\u{a0}{tail}"),
        format!("\u{202a}{code}\u{202c}"),
        in_script(0x660),
        in_script(0x6f0),
        in_script(0xff10),
        format!("Your Acme Shop code is {code}. It ends in 2027."),
        format!("{code} is your code.\n\n@shop.example #{code}"),
        format!("G-{code}"),
        format!("Code: {code}"),
    ]
}

/// Texts that hold no code.
const NO_CODES: [&str; 5] =
    ["123", " ", "12345678901", "Please send me a new code", "Your code is 111111 or 222222, I think"];

#[tokio::test]
async fn every_spelling_of_a_number_is_one_verification() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let sid = sid(&v2.begins(&service, NUMBER).await.expects_status(201));
    for spelled in NUMBERS {
        let found = v2.checks_number(&service, spelled, "123").await;
        assert!(found.status() == 400 && found.text().contains("`Code`"), "{spelled:?}: {}", found.text());
    }
    for spelled in &NUMBERS[..4] {
        let again = v2.begins(&service, spelled).await.expects_status(201).json();
        assert_eq!((&again["sid"], &again["to"]), (&json!(sid), &json!(NUMBER)), "{spelled:?}");
    }
    let code = world.twilio().code_for(NUMBER);
    let checked = v2.checks_number(&service, NUMBERS[9], &code).await.expects_status(200).json();
    assert_eq!(checked["status"], "approved");

    for spelled in NUMBERS {
        world.verify(spelled, "111111").await.expects(incorrect(NUMBER, 5));
        world.verify_code(spelled, "111111").await.expects_status(400);
    }
    world.send(NUMBERS[0]).await.expects(sent(NUMBER, 5));
    let code = world.twilio().code_for(NUMBER);
    world.verify(NUMBERS[4], &code).await.expects(verified(NUMBER));
    let entry = v2.post("/Guard/Entries", &[("Subject", " 14155550123"), ("Action", "block")]).await;
    assert!(entry.status() < 300, "a plus that a form made a space: {}", entry.text());
}

#[tokio::test]
async fn a_refused_number_names_its_sign() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    for (number, sign) in [("+1415555012x", "U+0078"), ("+1415555012\u{b2}", "U+00B2")] {
        let refused = v2.begins(&service, number).await.expects_status(400).text();
        assert!(refused.contains(sign), "{refused}");
        let refused = world.send(number).await;
        assert_eq!(refused.status(), 400);
        assert!(
            refused.header("x-onceward-reason").contains(sign),
            "{}",
            refused.header("x-onceward-reason")
        );
    }
    let refused = v2.begins(&service, "+22507123456").await.expects_status(400).text();
    assert!(refused.contains("ten digits since 31 January 2021"), "{refused}");
    let refused = v2.begins(&service, "+141555501").await.expects_status(400).text();
    assert!(refused.contains("no number of that country has this length"), "{refused}");
    assert!(world.twilio().received().is_empty());
}

#[tokio::test]
async fn every_spelling_of_the_right_code_is_right_and_costs_nothing() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[]).await;
    for index in 0..spellings("123456").len() {
        let number = world.number();
        let sid = sid(&v2.begins(&service, &number).await.expects_status(201));
        let code = &spellings(&world.twilio().code_for(&number))[index];
        let checked = v2.checks(&service, &sid, code).await.expects_status(200).json();
        assert_eq!(checked["status"], "approved", "{code:?}");

        let (number, code) = world.number_with_code().await;
        world.verify(&number, &spellings(&code)[index]).await.expects(verified(&number));

        let number = world.number();
        world.send_code(&number).await.expects_status(200);
        let code = &spellings(&world.twilio().code_for(&number))[index];
        world.verify_code(&number, code).await.expects_message(200, "This is a valid match!");
    }
}

#[tokio::test]
async fn what_holds_no_code_is_not_counted_and_a_guess_is() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("CustomCodeEnabled", "true")]).await;
    let sid = sid(&v2.begins_with(&service, NUMBER, &[("CustomCode", "Ab12")]).await.expects_status(201));
    for text in NO_CODES.iter().cycle().take(8) {
        let refused = v2.checks(&service, &sid, text).await;
        assert_eq!(status_and_code(&refused), (400, "60200".to_owned()), "{text:?}");
    }
    let wrong = v2.checks(&service, &sid, "ab12").await.expects_status(200).json();
    assert_eq!(wrong["status"], "pending", "the case of letters counts");
    assert_eq!(v2.checks(&service, &sid, "Ab-12").await.json()["status"], "approved");

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
    let body = |number: &str, code: Value| json!({"phoneNumber": number, "smsCode": code}).to_string();
    let number = loop {
        let number = world.number();
        world.send_code(&number).await.expects_status(200);
        if !world.twilio().code_for(&number).starts_with('0') {
            break number;
        }
    };
    for lost in [json!(47_838), json!(0)] {
        let refused = world.post("/verify-code", body(&number, lost)).await.expects_status(400);
        assert!(refused.text().contains("must be a text"), "{}", refused.text());
    }
    for other in [json!(-123_456), json!(12345.5), json!(true), json!(null)] {
        world.post("/verify-code", body(&number, other)).await.expects_status(400);
    }
    let code: u64 = world.twilio().code_for(&number).parse().expect("digits");
    world
        .post("/verify-code", body(&number, json!(code)))
        .await
        .expects_message(200, "This is a valid match!");
    let body = json!({"user": {"phoneNumber": number}, "code": code}).to_string();
    world.post("/api/verify-otp", body).await.expects(bad_request());
}

#[tokio::test]
async fn the_old_and_the_new_form_of_a_number_are_one_person() {
    let (world, v2, service) =
        World::with_service(Setup::new().env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER)).await;
    for (forms, today) in [
        (&["+24106031234", "+2416031234", "+24166031234"][..], "+24166031234"),
        (&["+5215512345678", "+525512345678"], "+525512345678"),
        (&["+22997123456", "+2290197123456"], "+2290197123456"),
        (&["+551198765432", "+55 11 9 9876 5432"], "+5511998765432"),
        (&["+23777123456", "+237677123456"], "+237677123456"),
        (&["+841621234567", "+84321234567"], "+84321234567"),
        (&["+9745512345", "+97455512345"], "+97455512345"),
        (&["+37744123456", "+38344123456"], "+38344123456"),
    ] {
        let mut sids = Vec::new();
        for form in forms {
            let begun = v2.begins(&service, form).await.expects_status(201).json();
            assert_eq!(begun["to"], today, "{form}");
            sids.push(begun["sid"].clone());
        }
        sids.dedup();
        assert_eq!(sids.len(), 1, "{today}");
    }
    // `/api` repeats the caller's form.
    world.send("+52 1 55 1234 5678").await.expects(sent("+5215512345678", 5));
    let code = world.twilio().code_for("+525512345678");
    world.verify("+525512345678", &wrong(&code)).await.expects(incorrect("+525512345678", 4));
    world.verify("+5215512345678", &code).await.expects(verified("+5215512345678"));

    // WhatsApp knows the accounts of Mexico by the old form.
    v2.post(&format!("{service}/Verifications"), &[("To", "+525587654321"), ("Channel", "whatsapp")]).await;
    let received = world.twilio().received();
    let to: Vec<&str> = received.iter().map(|message| message.field("To")).collect();
    assert!(to.contains(&"whatsapp:+5215587654321"), "{to:?}");
}

#[tokio::test]
async fn a_landline_and_a_mobile_number_of_argentina_are_two_and_the_refusal_has_a_hint() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("SkipSmsToLandlines", "true")]).await;
    let refused = v2.begins(&service, "+541123456789").await.expects_status(403).json();
    let message = refused["message"].as_str().expect("a text");
    assert!(refused["code"] == 60205 && message.contains("a 9 after 54"), "{message}");
    let carried = [("To", "+541123456789"), ("Code", "123456")];
    let refused = v2.post(&format!("{service}/Messages"), &carried).await.expects_status(403).text();
    assert!(refused.contains("a 9 after 54"), "{refused}");
    v2.begins(&service, "+5491123456789").await.expects_status(201);
    assert_eq!(world.twilio().received().len(), 1);
}

#[tokio::test]
async fn the_library_reads_numbers_and_codes_as_people_mean_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let otp = Otp::builder(directory.path()).start().await.expect("a start");
    for index in 0..spellings("123456").len() {
        otp.send_sms(NUMBERS[index % NUMBERS.len()]).await.expect("a message");
        let code = otp.inbox_code(NUMBER).expect("a code");
        for text in NO_CODES {
            let verified = otp.verify(NUMBER, text).await;
            assert_eq!((verified.code_valid(), verified.attempts_left()), (false, Some(5)), "{text:?}");
        }
        // The library's codes have five digits.
        let spelled = if code.len() == 6 { spellings(&code)[index].clone() } else { format!(" {code}\n") };
        assert!(otp.verify(NUMBERS[0], &spelled).await.code_valid(), "{spelled:?}");
    }
    let refused = otp.send_sms("+22507123456").await.expect_err("refused");
    assert!(
        matches!(refused, OtpError::Number(_)) && refused.to_string().contains("ten digits"),
        "{refused}"
    );
    otp.stop().await.expect("a stop");
}
