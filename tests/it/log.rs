//! The log lines about the requests of users.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Client, HttpResponse, Reply, Setup, V2, World, soon};

#[tokio::test]
async fn refused_requests_and_failing_webhooks_are_logged_with_their_service() {
    let world = World::of(V2::account(Setup::new()).config("webhook-private-addresses", true)).await;
    let v2 = V2::of(&world.server.client);
    let service = v2.service(&[]).await;
    let name = service.trim_start_matches("/Services/");
    let url = ("WebhookUrl", "http://127.0.0.1:9/hook");
    let hook = [("FriendlyName", "down"), ("EventTypes", "verification.created"), url];
    v2.made(&format!("{service}/Webhooks"), &hook).await;
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
    let logged = async |message: &str, service: &str| {
        let is_it = |event: &Value| event["message"] == message && event["service"] == service;
        soon(message, world.server.output().event(is_it)).await.expect("a line");
    };
    logged("webhook failing, events are retried", name).await;
    world.server.let_writes_fail();
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 503);
    assert_eq!(world.send(&world.number()).await.status(), 503);
    logged("requests refused", name).await;
    logged("requests refused", "default").await;
}

#[tokio::test]
async fn the_id_of_a_failed_send_leads_to_the_gateways_line() {
    let world = World::new().await;
    for (reply, outcome) in [
        (Reply::Refuse { status: 400, code: 21211 }, "number-refused"),
        (Reply::Refuse { status: 401, code: 20003 }, "gateway-failed"),
    ] {
        let number = world.number();
        world.twilio.plan(&number, [reply]);
        let answer = world.send(&number).await;
        let line = line_of(&world, &answer, "code not sent").await;
        assert_eq!((&line["level"], &line["outcome"]), (&"INFO".into(), &outcome.into()));
        let of_gateway = |event: &Value| event["gateway"].is_string() && event["number"] == line["number"];
        soon("the gateway's line", world.server.output().event(of_gateway)).await.expect("a line");
    }
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

/// The only line with this answer's id and this message.
async fn line_of(world: &World, answer: &HttpResponse, message: &str) -> Value {
    let id = answer.header("x-request-id");
    assert!(!id.is_empty());
    let output = world.server.output();
    let wanted = output.event(|event| event["request_id"] == id && starts_with(&event["message"], message));
    soon("the line", wanted).await.unwrap_or_else(|| panic!("no {message:?} of {id}:\n{}", output.text()))
}

fn starts_with(text: &Value, beginning: &str) -> bool {
    text.as_str().is_some_and(|text| text.starts_with(beginning))
}
