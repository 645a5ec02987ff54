//! Twilio Verify, which makes and holds the code.

use serde_json::json;

use super::refused;
use crate::support::documented::{incorrect, sent};
use crate::support::{Several, wrong};

#[tokio::test]
async fn the_right_code_counts_and_fails_after_verifys_limit_of_checks() {
    let world = Several::with("TwilioVerify", [("otp-max-attempts", json!(10))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 10));
    let code = world.twilio().code_for(&number);
    for trials in [9, 8, 7, 6, 5] {
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, trials));
    }
    // Verify looks at five codes of a verification.
    world.verify(&number, &code).await.expects(incorrect(&number, 4));
}

#[tokio::test]
async fn a_landline_is_called_by_verify_itself() {
    let world = Several::with("TwilioVerify", [("voice", json!(true))]).await;
    let number = world.number_with([refused(60_205)]);
    world.accepts(&number).await;
    let received = world.twilio().received_for(&number);
    let channels: Vec<&str> = received.iter().map(|received| received.field("Channel")).collect();
    assert_eq!(channels, ["sms", "call"]);
    world.verifies_by_twilio(&number).await;
}

#[tokio::test]
async fn the_tutorials_routes_go_through_verify_too() {
    let world = Several::routed("TwilioVerify").await;
    let number = world.number();
    assert_eq!(world.send_code(&number).await.status(), 200);
    let code = world.twilio().code_for(&number);
    world.verify_code(&number, &code).await.expects_message(200, "This is a valid match!");
}
