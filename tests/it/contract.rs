//! The contract (`docs/reference/otp-api.md`) with the real engine. `tests/http/contract.rs` has each row as bytes.

use crate::support::prelude::*;

#[tokio::test]
async fn one_message_from_the_configured_sender_has_a_code_that_verifies_once() {
    let world = World::new().await;
    let number = world.number_with_message().await;
    let received = world.twilio().received();
    let [message] = received.as_slice() else { panic!("one message, not {}", received.len()) };
    assert_eq!(message.field("From"), SENDER);
    let code = world.twilio().code_for(&number);
    assert_eq!(code.len(), 6);
    assert_eq!(message.field("Body"), format!("onceward: your code is {code}. It is valid for 10 min."));
    world.verify(&number, &code).await.expects(verified(&number));
    world.verify(&number, &code).await.expects(incorrect(&number, 5));
}

const NO_MATCH: &str = "The phone number and the SMS code doesn't match.";
const MATCH: &str = "This is a valid match!";

#[tokio::test]
async fn the_tutorials_code_is_sent_with_a_message_id_and_verifies_once() {
    let settings = [("brand", json!("Analytical Engines")), ("otp-timeout", json!(30))];
    let world = World::with(settings).await;
    let number = world.number();
    let id = format!("SM{:032x}", 1);
    world.send_code(&number).await.expects_message(200, &format!("Message sent with id: {id}"));

    let received = &world.twilio().received_for(&number)[0];
    let code = world.twilio().code_for(&number);
    assert_eq!(code.len(), 6);
    let text = format!("Hello from Analytical Engines! Your verification code is: {code}");
    assert_eq!(received.field("Body"), text);
    let seconds: u32 = received.field("ValidityPeriod").parse().expect("seconds");
    assert!((500..=600).contains(&seconds), "ten minutes, whatever otp-timeout says: {seconds}");

    world.verify_code(&number, &code).await.expects_message(200, MATCH);
    world.verify_code(&number, &code).await.expects_message(400, NO_MATCH);
}

#[tokio::test]
async fn both_apis_count_the_same_number_together_and_lock_it() {
    let world = World::new().await;
    let number = world.number();
    assert_eq!(world.send_code(&number).await.status(), 200);
    let code = world.twilio().code_for(&number);
    world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
    world.send(&number).await.expects(sent(&number, 3));
    let code = world.twilio().code_for(&number);
    for _ in 0..2 {
        world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    }
    for answer in [
        world.verify_code(&number, &wrong(&code)).await,
        world.verify_code(&number, &code).await,
        world.send_code(&number).await,
    ] {
        answer.expects_status(403);
    }
}
