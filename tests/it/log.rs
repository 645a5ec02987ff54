//! The log lines about the requests of users.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Client, Setup, World, soon};

#[tokio::test]
async fn refused_requests_and_failing_webhooks_are_logged_with_their_service() {
    let setup = Setup::new().config("webhook-private-addresses", true);
    let (world, v2, service) = World::with_service(setup).await;
    let name = service.trim_start_matches("/Services/");
    v2.webhook(&service, "verification.created", "http://127.0.0.1:9/hook").await;
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
    let logged = async |message: &str, service: &str| {
        let is_it = |event: &Value| event["message"] == message && event["service"] == service;
        world.server.event(message, is_it).await;
    };
    logged("webhook failing, events are retried", name).await;
    world.server.let_writes_fail();
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 503);
    assert_eq!(world.send(&world.number()).await.status(), 503);
    logged("requests refused", name).await;
    logged("requests refused", "default").await;
}

#[tokio::test]
async fn an_unread_log_holds_up_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let mut server = Command::new(env!("CARGO_BIN_EXE_onceward"))
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"])
        .current_dir(home.path())
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .expect("a server");
    let mut log = BufReader::new(server.stderr.take().expect("a pipe"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it ended before it listened");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        if event["message"] == "listening" {
            break event["address"].as_str().expect("an address").parse().expect("an address");
        }
    };
    // From here on the test does not read the output. The pipe holds 64 KiB and the server keeps 8,192 lines; each
    // request writes one.
    let client = Client::new(address);
    for _ in 0..10_000 {
        assert_eq!(soon("an answer", client.get("/healthz")).await.status(), 200);
    }
    server.kill().expect("it still runs");
    server.wait().expect("it ended");
}
