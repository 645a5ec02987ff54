//! A service that asks for more than its share: it is refused, and the other services are served.

use std::future::Future;

use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::prelude::*;

#[tokio::test]
async fn a_flood_of_numbers_of_one_service_refuses_that_service_only() {
    let (world, v2, flooded) = World::with_service(Setup::new().config("max-numbers", 20)).await;
    let other = v2.service(&[]).await;
    for _ in 0..20 {
        assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 201);
    }
    let seconds = v2.begins(&flooded, &world.number()).await.tells(503, "20503").retry_after();
    assert!((60..=3_600).contains(&seconds), "the codes of the service live for 10 minutes: {seconds}");
    names_service(&world, "number capacity used up", &flooded).await;

    assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
    world.number_with_message().await;

    // The same holds after a restart.
    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 503);
    assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
}

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

/// Webhooks of a service, all of them dead. Each verification makes three events for each.
const DEAD: usize = 10;

/// No receiver listens there.
const DEAD_URL: &str = "http://127.0.0.1:1/";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_webhooks_of_one_service_drop_its_events_only_and_say_so() {
    let (world, v2, flooded) = with_webhooks().await;
    let other = v2.service(&[]).await;
    let mut hooks = Vec::new();
    for service in [&flooded; DEAD].into_iter().chain([&other]) {
        let made = v2.webhook(service, "*", DEAD_URL).await;
        hooks.push(format!("{service}/Webhooks/{}/Deliveries", text(&made, "sid")));
    }
    // More than 100,000 deliveries.
    let enough = 100_000 / (3 * DEAD) + 200;
    let cancel = || async {
        let begun = v2.begins(&flooded, &world.number()).await;
        let path = format!("{flooded}/Verifications/{}", sid(&begun));
        assert_eq!(v2.post(&path, &[("Status", "canceled")]).await.status(), 200);
    };
    in_parallel(enough, cancel).await;
    let dropped = v2.get(&hooks[0]).await.json()["dropped_events"].clone();
    assert!(dropped["count"].as_u64().is_some_and(|count| count > 0), "{dropped}");
    assert!(dropped["date_last"].is_string(), "{dropped}");
    names_service(&world, "webhook events dropped", &flooded).await;

    assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
    let listed = v2.get(hooks.last().expect("a webhook")).await.json();
    assert_eq!(listed["deliveries"].as_array().map(Vec::len), Some(2), "created and sent: {listed}");
    assert_eq!(listed["dropped_events"], json!({"count": 0, "date_last": null}));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_reads_too_much_at_once_is_refused_and_others_read() {
    let (world, _, key) = read_by_a_weak_key().await;
    let weak = V2::with_key_of(&world, &key);
    let mut flood = JoinSet::new();
    for _ in 0..150 {
        let weak = weak.clone();
        flood.spawn(async move { weak.get("/Attempts/Summary").await });
    }
    for _ in 0..5 {
        let summary = V2::of(&world).get("/Attempts/Summary").await;
        assert_eq!((summary.status(), &summary.json()["total_attempts"]), (200, &json!(READ)));
    }
    let (read, refused): (Vec<HttpResponse>, Vec<HttpResponse>) =
        flood.join_all().await.into_iter().partition(|answer| answer.status() == 200);
    assert!(read.len() >= 8, "{} were read", read.len());
    assert!(!refused.is_empty(), "no more than eight are read at once");
    for answer in refused {
        answer.tells(429, "20429").expects_retry_after();
    }
    assert_eq!(weak.get("/Attempts/Summary").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_reads_long_pages_of_deliveries_does_not_hold_up_sends() {
    let (world, v2, read) = with_webhooks().await;
    let other = v2.service(&[]).await;
    let hook = v2.webhook(&read, "*", DEAD_URL).await;
    begin_many(&world, &read, 500).await;
    let path = format!("{read}/Webhooks/{}/Deliveries?PageSize=1000", text(&hook, "sid"));
    assert_eq!(v2.get(&path).await.json()["deliveries"].as_array().map(Vec::len), Some(1_000));
    let (pages, mut read) = watch::channel(0_usize);
    let mut flood = JoinSet::new();
    for _ in 0..16 {
        let (v2, path, pages) = (v2.clone(), path.clone(), pages.clone());
        flood.spawn(async move {
            let mut refused = 0;
            while pages.receiver_count() > 0 {
                let answer = v2.get(&path).await;
                match answer.status() {
                    200 => pages.send_modify(|pages| *pages += 1),
                    429 => refused += 1,
                    status => panic!("{status}: {}", answer.text()),
                }
            }
            refused
        });
    }
    soon("the first page", read.changed()).await.expect("it is read");
    let before = *read.borrow();
    for _ in 0..5 {
        assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
    }
    // Some four for each send. If pages did not take turns, each send would wait for forty.
    let during = *read.borrow() - before;
    assert!(during < 60, "{during} pages were read during five sends");
    drop(read);
    let refused: Vec<usize> = flood.join_all().await;
    assert!(refused.iter().sum::<usize>() > 0, "no more than eight are read at once");
}

/// Webhooks for each of three services.
const HOOKS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_of_three_services_that_hang_do_not_delay_a_fourth() {
    let (world, v2, _) = with_webhooks().await;
    // Neither answers a request.
    let (hanging, other) = (Raw::start().await, Raw::start().await);
    for receiver in [&hanging, &hanging, &hanging, &other] {
        let service = v2.service(&[]).await;
        for _ in 0..HOOKS {
            v2.webhook(&service, "*", &format!("http://{}/", receiver.address)).await;
        }
        for _ in 0..8 {
            assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
        }
    }
    until("an event of the fourth service", async || other.requests(), |requests| *requests > 0).await;
    assert_eq!(hanging.open(), hanging.connections(), "it did not wait until the others had timed out");
}

/// Like [`World::with_service`], of a server that sends events to receivers on loopback.
async fn with_webhooks() -> (World, V2, String) {
    let setup = Setup::new().config("webhook-private-addresses", true);
    World::with_service(setup.config("log-level", "info")).await
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
