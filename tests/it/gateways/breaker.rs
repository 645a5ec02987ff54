//! The server stops using a dead gateway until it may work again.

use crate::support::prelude::*;

/// The gateway's name in `/readyz` and in the log.
const TWILIO: &str = "TwilioMessages";

async fn with_breaker(open_for: u32) -> Several {
    Several::with(
        "Twilio;Http",
        [("bounds.breaker-failures", json!(3)), ("bounds.breaker-open-for", json!(open_for))],
    )
    .await
}

/// The circuit of a gateway, from `data.gateways` of `/readyz`.
async fn circuit(world: &Several, gateway: &str) -> String {
    let body = world.server.readiness().await.json();
    let gateways = body["data"]["gateways"].as_array().cloned().unwrap_or_default();
    let one = gateways.iter().find(|entry| entry["name"] == gateway);
    let state = one.and_then(|entry| entry["circuit"].as_str());
    state.unwrap_or_else(|| panic!("the circuit of {gateway} is not in {body}")).to_owned()
}

/// The log lines about a circuit that opens and closes.
const OUT_OF_SERVICE: &str = "gateway unavailable";
const WORKS_AGAIN: &str = "gateway available again";

async fn logs(world: &Several, level: &str, words: &str) -> Value {
    let line = world.server.logs(level, words).await;
    assert_eq!(line["gateway"], TWILIO, "{line}");
    line
}

fn times_logged(world: &Several, words: &str) -> usize {
    world.server.lines(words).len()
}

/// Sends to a new number; the plain gateway takes the message after Twilio was asked this often.
async fn send_through_http(world: &Several, asks_twilio: usize) {
    let number = world.number_with_message().await;
    assert_eq!(world.doubles.sends_to(&number), [asks_twilio, 0, 0, 1]);
}

#[tokio::test]
async fn a_dead_gateway_is_skipped_and_costs_its_callers_nothing() {
    let world = with_breaker(100_000).await;
    assert_eq!(circuit(&world, TWILIO).await, "closed");
    world.twilio().otherwise(Reply::Busy);
    for _ in 0..3 {
        send_through_http(&world, 1).await;
    }
    assert_eq!(circuit(&world, TWILIO).await, "open");
    for _ in 0..5 {
        send_through_http(&world, 0).await;
    }
    assert_eq!(circuit(&world, "Http").await, "closed");
    logs(&world, "WARN", OUT_OF_SERVICE).await;
    assert_eq!(times_logged(&world, OUT_OF_SERVICE), 1, "one line for each change");
}

#[tokio::test]
async fn a_gateway_that_is_alive_again_is_used_again() {
    let world = with_breaker(4_000).await;
    world.twilio().otherwise(Reply::Busy);
    for _ in 0..3 {
        send_through_http(&world, 1).await;
    }
    assert_eq!(circuit(&world, TWILIO).await, "open");
    world.twilio().otherwise(Reply::Accept);
    arrives_through_twilio(&world).await;
    assert_eq!(circuit(&world, TWILIO).await, "closed");
    let number = world.number_with_message().await;
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0]);
    logs(&world, "INFO", WORKS_AGAIN).await;
    assert_eq!((times_logged(&world, OUT_OF_SERVICE), times_logged(&world, WORKS_AGAIN)), (1, 1));
}

#[tokio::test]
async fn a_pause_of_a_day_lasts_as_long_as_a_circuit_may_be_open() {
    const DAY: Reply = Reply::BusyFor(86_400);
    let world = Several::routed("Twilio;Http").await;
    world.accepts(&world.number_with([DAY])).await;
    let line = logs(&world, "WARN", "message not sent").await;
    assert_eq!((&line["class"], &line["retry_after"]), (&json!("Retry"), &json!(120)), "{line}");
    assert_eq!(logs(&world, "WARN", OUT_OF_SERVICE).await["seconds"], 120);
}

#[tokio::test]
async fn while_every_circuit_is_open_an_answer_says_when_to_try_again() {
    let settings = [("bounds.breaker-failures", json!(1)), ("bounds.breaker-open-for", json!(100_000))];
    let world = Several::with_account("Twilio;Http", settings).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    world.twilio().otherwise(Reply::ServerError(503));
    world.plain().otherwise(Reply::ServerError(503));
    let asked = world.send(&world.number()).await;
    assert_eq!((asked.status(), asked.header("retry-after")), (500, ""));
    for (status, answer) in [
        (500, world.send(&world.number()).await),
        (502, world.send_code(&world.number()).await),
        (502, v2.begins(&service, &world.number()).await),
    ] {
        assert_eq!(answer.status(), status, "{}", answer.text());
        let seconds = answer.retry_after();
        assert!((40..=100).contains(&seconds), "{seconds} s");
    }
    v2.begins(&service, &world.number()).await.tells(502, "20502");
    // No provider was asked: the log does not blame one.
    world.server.line("verification not sent, every gateway is out of service").await;
    for _ in 0..30 {
        world.send(&world.number()).await;
        v2.begins(&service, &world.number()).await;
    }
    let events = world.server.output().events();
    assert!(events.iter().all(|event| event["message"] != "verification failed at the provider"));
    let is_skipped = |event: &&Value| {
        event["level"] == "INFO" && event["message"].as_str().is_some_and(|text| text.contains("not sent"))
    };
    // One for the send that opened the circuits, one at once, and one a second.
    let lines = events.iter().filter(is_skipped).count();
    assert!((2..30).contains(&lines), "{lines} lines about 64 requests");
}

/// Sends to further numbers until the circuit lets a message through to Twilio.
async fn arrives_through_twilio(world: &Several) {
    let asked = world.twilio().received().len();
    let another = || world.number_with_message();
    until("a message through Twilio", another, |_| world.twilio().received().len() > asked).await;
}
