//! Every resource has a bound (`docs/reference/configuration.md`), and each refusal has a name.

use serde_json::{Value, json};

use crate::support::documented::{incorrect, sent, verified};
use crate::support::{HttpResponse, World};

#[tokio::test]
async fn too_many_commands_for_one_number_are_429_and_others_are_served() {
    let world = World::with([("max-commands-per-number", json!(1))]).await;
    let busy = world.number();
    let (number, code) = world.number_with_code().await;
    let hanging = world.hang_at_the_gateway(&busy).await;

    refused(&world.send(&busy).await, 429);
    // A gateway that hangs holds up sends only.
    world.verify(&busy, "none").await.expects(incorrect(&busy, 4));
    world.verify(&number, &code).await.expects(verified(&number));

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&busy, 4));
    world.send(&busy).await.expects(sent(&busy, 4));
}

#[tokio::test]
async fn too_many_commands_are_503() {
    let world = World::with([("max-commands", json!(1)), ("max-commands-per-number", json!(1))]).await;
    let slow = world.number();
    let hanging = world.hang_at_the_gateway(&slow).await;

    let number = world.number();
    refused(&world.verify(&number, "123456").await, 503);
    refused(&world.send(&number).await, 503);

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&slow, 5));
    world.send(&number).await.expects(sent(&number, 5));
}

#[track_caller]
fn refused(answer: &HttpResponse, status: u16) {
    let body = answer.json();
    assert_eq!((answer.status(), &body["code"]), (status, &Value::from(status)), "{body}");
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    answer.expects_retry_after();
}
