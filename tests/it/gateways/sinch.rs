//! Sinch Verification, which makes and holds the code.

use serde_json::json;

use super::held::{Holder, holds_the_code};
use crate::support::documented::{sent, verified};
use crate::support::{Reply, Several};

holds_the_code!(Holder {
    name: "Sinch",
    double: Several::sinch,
    forget: |world, number| world.sinch().forget(number),
});

#[tokio::test]
async fn a_text_is_asked_for_as_sms_and_a_call_as_callout() {
    let world = Several::with("Sinch", [("voice", json!(true))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("sms"));

    let number = world.number();
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("callout"));
    // The double accepts the code only with the method that sent it.
    let code = world.sinch().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_refusal_of_sinch_leads_to_the_next_gateway() {
    let world = Several::routed("Sinch;Http").await;
    let number = world.number();
    world.sinch().plan(&number, [Reply::Refuse { status: 402, code: 40_200 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [0, 1, 0, 1]);
}
