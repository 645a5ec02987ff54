//! A service that asks for more than its share: it is refused, and the other services are served.

use std::future::Future;

use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::support::prelude::*;

#[tokio::test]
async fn a_flood_at_a_slow_gateway_holds_up_its_own_service_only() {
    let setup = Setup::new().config("bounds.sends", 4).config("bounds.sends-waiting", 8);
    let (world, v2, flooded) = World::with_service(setup.config("send-budget", "60s")).await;
    let other = v2.service(&[]).await;
    let mut flood = JoinSet::new();
    for _ in 0..20 {
        let (v2, service, number) = (v2.clone(), flooded.clone(), world.number_with([Reply::Hang]));
        flood.spawn(async move { v2.begins(&service, &number).await });
    }
    // 4 are at the gateway and 8 wait.
    for _ in 0..8 {
        flood.join_next().await.expect("more answers").expect("an answer").tells(503, "20503");
    }
    world.twilio().arrived(4).await;
    for _ in 0..10 {
        v2.begins(&other, &world.number()).await.expects_status(201);
    }
    world.number_with_message().await;
    assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 503);
    names_service(&world, "gateway overloaded", &flooded).await;

    world.twilio().release();
    let served = flood.join_all().await.iter().filter(|answer| answer.status() == 201).count();
    assert!((4..=12).contains(&served), "{served} of the 4 at the gateway and the 8 that wait");
    assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 201);
}

/// Verifications whose attempts a summary reads.
const READ: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn summaries_that_their_clients_abandon_end_and_sends_go_on() {
    let (world, service, key) = read_by_a_weak_key().await;
    let request = format!(
        "GET /v2/Attempts/Summary HTTP/1.1\r\nhost: test\r\nauthorization: {}\r\n\r\n",
        authorization(&key)
    );
    let v2 = V2::of(&world);
    for round in 0..300 {
        let mut connection = world.connection().await;
        connection.write_all(request.as_bytes()).await.expect("sent");
        drop(connection);
        if round % 10 == 0 {
            assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
        }
    }
    let (_, finished) = world.restart().await;
    let is_answered = |event: &Value| {
        event["message"] == "request answered"
            && event["route"] == "/v2/Attempts/Summary"
            && event["status"] == 200
    };
    let answered = finished.json().iter().filter(|event| is_answered(event)).count();
    assert!(answered < 100, "{answered} of 300 abandoned summaries were read to their end");
}

async fn names_service(world: &World, message: &str, service: &str) {
    let event = world.server.line(message).await;
    assert_eq!(event["service"].as_str(), service.strip_prefix("/Services/"), "{event}");
}

/// A service with many attempts, and a key that may only verify.
async fn read_by_a_weak_key() -> (World, String, Value) {
    let (world, _, service) = World::with_service(Setup::new()).await;
    let key = world.setup.new_key(&["--service", "Owl Bank", "--scope", "verify"]).await;
    begin_many(&world, &service, READ).await;
    (world, service, key)
}

async fn begin_many(world: &World, service: &str, times: usize) {
    let v2 = V2::of(world);
    let begin = || async { assert_eq!(v2.begins(service, &world.number()).await.status(), 201) };
    in_parallel(times, begin).await;
}

/// Does something so often, a few at a time.
async fn in_parallel<F: Future<Output = ()>>(times: usize, action: impl FnMut() -> F) {
    let actions = stream::iter(std::iter::repeat_with(action).take(times));
    actions.buffer_unordered(16).collect::<Vec<()>>().await;
}
