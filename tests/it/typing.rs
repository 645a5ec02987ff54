//! Numbers and codes as people type and paste them, at each door. The tests of `domain::code` and `domain::phone` have
//! every spelling, the simulation says that a text without a code costs nothing.

use onceward::otp::Otp;

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
        format!("\"{code}\""),
        format!("{head}-{tail}."),
    ]
}

#[tokio::test]
async fn every_spelling_of_a_number_and_its_code_is_right_at_every_door() {
    let (world, v2, service) = World::with_service(Setup::new().config("default-region", "US")).await;
    let directory = tempfile::tempdir().expect("a directory");
    let library = Otp::builder(directory.path()).start().await.expect("a start");
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
        library.send_sms(spelled).await.expect("a message");
        let code = library.inbox_code(NUMBER).expect("a code");
        assert!(library.verify(spelled, &format!(" {code}\n")).await.code_valid, "{spelled:?}");
    }
    world.send("(415) 555-0123").await.expects(sent(NUMBER, 5));
    library.stop().await.expect("a stop");
}

#[tokio::test]
async fn the_tutorial_takes_a_number_for_a_code() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let code: u64 = code.parse().expect("digits");
    let form = json!({ "phoneNumber": number, "smsCode": code }).to_string();
    world.post("/verify-code", form).await.expects_message(200, "This is a valid match!");
}
