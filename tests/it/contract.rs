//! The routes of the tutorial with the real engine. `src/http/compatible.rs` has each row as bytes.

use crate::support::prelude::*;

const NO_MATCH: &str = "The phone number and the SMS code doesn't match.";

#[tokio::test]
async fn the_tutorials_codes_have_its_text_and_count_with_those_of_the_api() {
    let settings = [("brand", json!("Analytical Engines")), ("otp-timeout", json!(30))];
    let world = World::with(settings).await;
    let number = world.number();
    let id = format!("SM{:032x}", 1);
    world.send_code(&number).await.expects_message(200, &format!("Message sent with id: {id}"));
    let received = &world.twilio().received_for(&number)[0];
    let code = world.twilio().code_for(&number);
    let text = format!("Hello from Analytical Engines! Your verification code is: {code}");
    assert_eq!(received.field("Body"), text);
    let seconds: u32 = received.field("ValidityPeriod").parse().expect("seconds");
    assert!((500..=600).contains(&seconds), "ten minutes, whatever otp-timeout says: {seconds}");

    world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
    world.send(&number).await.expects(sent(&number, 3));
    for _ in 0..2 {
        world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    }
    for answer in [world.verify_code(&number, "000000").await, world.send_code(&number).await] {
        answer.expects_status(403);
    }
}
