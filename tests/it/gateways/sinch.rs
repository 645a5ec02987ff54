//! Sinch Verification, which makes and holds the code.

use serde_json::json;

use crate::support::Several;
use crate::support::documented::{sent, verified};

#[tokio::test]
async fn a_text_is_asked_for_as_sms_and_a_call_as_callout() {
    let world = Several::with("Sinch", [("voice", json!(true))]).await;
    let number = world.number_with_message().await;
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("sms"));

    let number = world.number();
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("callout"));
    // The double accepts the code only with the method that sent it.
    let code = world.sinch().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}
