//! Every resource has a bound (`docs/reference/configuration.md`), and each refusal has a name.

use futures_util::future::select;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::documented::{incorrect, sent, verified};
use crate::support::{Client, HttpResponse, Reply, World};

#[tokio::test]
async fn too_many_commands_for_one_number_are_429_and_others_are_served() {
    let world = World::with([("max-commands-per-number", json!(1))]).await;
    let busy = world.number();
    let (number, code) = world.number_with_code().await;
    let hanging = hang_at_the_gateway(&world, &busy, 2).await;

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
    let hanging = hang_at_the_gateway(&world, &slow, 1).await;

    let number = world.number();
    refused(&world.verify(&number, "123456").await, 503);
    refused(&world.send(&number).await, 503);

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&slow, 5));
    world.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn too_many_messages_waiting_for_the_gateway_are_503_and_checks_go_on() {
    let world = World::with([("max-sends", json!(1)), ("max-sends-waiting", json!(1))]).await;
    let (known, code) = world.number_with_code().await;
    let slow = world.number();
    let first = hang_at_the_gateway(&world, &slow, 2).await;

    // One more send waits for its turn, and the server refuses the next one.
    let [one, two] = [world.number(), world.number()].map(|number| {
        let client = world.server.client.clone();
        tokio::spawn(async move { client.send(&number).await })
    });
    let (refusal, waiting) = select(one, two).await.factor_first();
    refused(&refusal.expect("an answer"), 503);
    world.verify(&known, &code).await.expects(verified(&known));

    world.twilio.release();
    first.await.expect("an answer").expects(sent(&slow, 5));
    assert_eq!(waiting.await.expect("an answer").status(), 200);
}

/// Starts a send that the gateway does not answer until it is released.
async fn hang_at_the_gateway(world: &World, number: &str, requests: usize) -> JoinHandle<HttpResponse> {
    world.twilio.plan(number, [Reply::Hang]);
    let (client, number): (Client, String) = (world.server.client.clone(), number.to_owned());
    let hanging = tokio::spawn(async move { client.send(&number).await });
    world.twilio.arrived(requests).await;
    hanging
}

#[track_caller]
fn refused(answer: &HttpResponse, status: u16) {
    let body = answer.json();
    assert_eq!((answer.status(), &body["code"]), (status, &Value::from(status)), "{body}");
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    answer.expects_retry_after();
}
