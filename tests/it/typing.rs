//! Numbers and codes as people type and paste them, at each door. `tests/http/world_numbers.rs` has the forms of each
//! country's numbers, and `domain::code` every spelling of a code.

use onceward::otp::Otp;

use crate::support::prelude::*;

const NUMBER: &str = "+14155550123";
const SPELLED: &str = "\u{202a}+1 (415) 555-0123\u{202c}";

fn spelled(code: &str) -> String {
    format!("\u{202a}\"{} {}\"\n", &code[..3], &code[3..])
}

#[tokio::test]
async fn a_number_and_its_code_are_right_as_people_paste_them_at_every_door() {
    let (world, v2, service) = World::with_service(Setup::new().config("default-region", "US")).await;
    let code = || spelled(&world.twilio().code_for(NUMBER));
    assert_eq!(v2.begins(&service, SPELLED).await.expects_status(201).json()["to"], NUMBER);
    v2.checks_number(&service, SPELLED, &code()).await.tells(200, "approved");
    world.send(SPELLED).await.expects(sent(NUMBER, 5));
    world.verify(SPELLED, &code()).await.expects(verified(NUMBER));
    world.send_code(SPELLED).await.expects_status(200);
    world.verify_code(SPELLED, &code()).await.expects_message(200, "This is a valid match!");
    v2.post("/Guard/Entries", &[("Subject", SPELLED), ("Action", "allow")]).await.expects_status(201);
    world.send("(415) 555-0123").await.expects(sent(NUMBER, 5));
    // The tutorial takes a number for a code.
    world.send_code(NUMBER).await.expects_status(200);
    let number: u64 = world.twilio().code_for(NUMBER).parse().expect("digits");
    let form = json!({ "phoneNumber": NUMBER, "smsCode": number }).to_string();
    world.post("/verify-code", form).await.expects_message(200, "This is a valid match!");

    let directory = tempfile::tempdir().expect("a directory");
    let library = Otp::builder(directory.path()).start().await.expect("a start");
    library.send_sms(SPELLED).await.expect("a message");
    let code = library.inbox_code(NUMBER).expect("a code");
    assert!(library.verify(SPELLED, &spelled(&code)).await.code_valid);
    library.stop().await.expect("a stop");
}
