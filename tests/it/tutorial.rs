//! The contract (`docs/reference/otp-api.md`): the tutorial's two routes.

use serde_json::json;

use crate::support::documented::{incorrect, sent};
use crate::support::{World, wrong};

const NO_MATCH: &str = "The phone number and the SMS code doesn't match.";
const MATCH: &str = "This is a valid match!";

#[tokio::test]
async fn the_tutorials_code_is_sent_with_a_message_id_and_verifies_once() {
    let settings = [("brand", json!("Analytical Engines")), ("otp-timeout", json!(30))];
    let world = World::with(settings).await;
    let number = world.number();
    let id = format!("SM{:032x}", 1);
    world.send_code(&number).await.expects_message(200, &format!("Message sent with id: {id}"));

    let received = &world.twilio.received_for(&number)[0];
    let code = world.twilio.code_for(&number);
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
    let code = world.twilio.code_for(&number);
    world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
    world.send(&number).await.expects(sent(&number, 3));
    let code = world.twilio.code_for(&number);
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
