//! Gateways that the server cannot reach, or not safely: it sends nothing and loses no time.

use std::net::TcpListener as StdListener;

use serde_json::Value;

use super::kinds::GatewayKind;
use super::raw::{Act, Raw};
use crate::support::documented::{failed, incorrect, sent};
use crate::support::{Numbers, Server, Setup, World};

const KIND: GatewayKind = GatewayKind::TwilioMessages;

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_server_error_and_surely_sent_nothing() {
    let server = KIND.at("https://onceward.invalid", quick()).start().await;
    fails_without_a_message(&server, "its name could not be resolved").await;
}

#[tokio::test]
async fn a_port_without_a_listener_is_a_server_error_and_gets_no_message() {
    let address = StdListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let server = KIND.at(&format!("http://{address}"), quick()).start().await;
    fails_without_a_message(&server, "no connection: connection refused").await;
}

#[tokio::test]
async fn a_provider_without_tls_is_a_server_error_and_gets_no_message() {
    let raw = Raw::start().await;
    raw.act(Act::CloseAtOnce);
    let server = KIND.at(&format!("https://{}", raw.address), quick()).start().await;
    fails_without_a_message(&server, "no connection").await;
    raw.act(Act::Say("HTTP/1.1 400 This is plain HTTP\r\n\r\n"));
    assert_eq!(raw.requests(), 0);
}

#[tokio::test]
async fn a_connection_closed_before_the_request_is_read_fails_only_that_send() {
    let raw = Raw::start().await;
    raw.act(Act::CloseAtOnce);
    let setup = quick().config("breaker-failures", 1000);
    let server = KIND.at(&format!("http://{}", raw.address), setup).start().await;
    let numbers = Numbers::default();
    server.client.send(&numbers.next()).await.expects(failed());
    raw.act(Act::SayAndStay(KIND.accepts()));
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_provider_that_is_there_by_ipv6_only_is_used() {
    let raw = match Raw::at("[::1]:0").await {
        Ok(raw) => raw,
        Err(error) => return println!("SKIPPED: this machine has no IPv6 loopback: {error}"),
    };
    raw.act(Act::SayAndStay(KIND.accepts()));
    let server = KIND.at(&format!("http://{}", raw.address), quick()).start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_proxy_in_the_environment_sees_no_plain_http_and_no_local_requests() {
    let (raw, proxy) = (Raw::start().await, Raw::start().await);
    raw.act(Act::SayAndStay(GatewayKind::Http.accepts()));
    let proxied = || {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
        names.iter().fold(quick(), |setup, name| setup.env(name, format!("http://{}", proxy.address)))
    };
    let server = GatewayKind::Http.at(&format!("http://{}", raw.address), proxied()).start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(proxy.connections(), 0);
    // The proxy is for encrypted requests to other hosts.
    let server = GatewayKind::Http.at("https://onceward.invalid", proxied()).start().await;
    server.client.send(&Numbers::default().next()).await.expects(failed());
    assert!(proxy.connections() > 0, "docs/internals/http.md");
}

#[tokio::test]
async fn a_wait_of_ages_keeps_a_gateway_out_and_nothing_overflows() {
    for (wait, retry) in [("18446744073709551615", false), ("99999999999999999999999", true)] {
        let raw = Raw::start().await;
        let busy = format!("HTTP/1.1 429 Busy\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n");
        raw.act(Act::SayAndStay(busy.leak()));
        let setup = quick().config("sms", serde_json::json!({"retry": retry}));
        let server = GatewayKind::Http.at(&format!("http://{}", raw.address), setup).start().await;
        let numbers = Numbers::default();
        for _ in 0..3 {
            let status = server.client.send(&numbers.next()).await.status();
            assert!(status == 500 || retry && status == 200, "{wait}: {status}");
        }
        assert!(!server.output().text().contains("panicked"), "{wait}");
    }
}

#[tokio::test]
async fn a_gateway_that_fails_every_send_is_left_alone_and_asked_again_later() {
    let raw = Raw::start().await;
    raw.act(Act::Say("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"));
    let setup = quick().config("breaker-failures", 3).config("breaker-open-for", "200ms");
    let server = GatewayKind::Http.at(&format!("http://{}", raw.address), setup).start().await;
    let numbers = Numbers::default();
    let mut asked = Vec::new();
    for _ in 0..10 {
        let before = raw.requests();
        server.client.send(&numbers.next()).await.expects(failed());
        asked.push(raw.requests() - before);
    }
    assert_eq!(asked[..3], [1, 1, 1], "{asked:?}");
    assert!(asked[3..].contains(&0), "{asked:?}");
    raw.act(Act::SayAndStay(GatewayKind::Http.accepts()));
    let send = || async { server.client.send(&numbers.next()).await.status() };
    crate::support::until("the gateway is asked again", send, |status| *status == 200).await;
}

/// Checks continue while 100 sends hang at the gateway.
#[tokio::test]
async fn while_many_sends_hang_other_numbers_are_checked() {
    const HANGING: usize = 100;
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    world.twilio.otherwise(crate::support::Reply::Hang);
    let sends: Vec<_> = (0..HANGING)
        .map(|_| {
            let (client, to) = (world.server.client.clone(), world.number());
            tokio::spawn(async move { client.send(&to).await })
        })
        .collect();
    world.twilio.arrived(1 + HANGING).await;
    for trials in (1..=4).rev() {
        let answer = world.verify(&number, &crate::support::wrong(&code)).await;
        answer.expects(incorrect(&number, trials));
    }
    world.verify(&number, &code).await.expects(crate::support::documented::verified(&number));
    assert!(sends.iter().all(|send| !send.is_finished()), "every send still waits for the gateway");
    world.twilio.release();
    for send in sends {
        assert_eq!(send.await.expect("an answer").status(), 200);
    }
}

fn quick() -> Setup {
    Setup::new().config("send-budget", "1s")
}

/// The send fails and leaves no code behind, and the log has the reason.
async fn fails_without_a_message(server: &Server, why: &str) {
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(failed());
    server.client.verify(&number, "123456").await.expects(incorrect(&number, 5));
    let said = |event: &Value| event["detail"].as_str().is_some_and(|detail| detail.contains(why));
    let said = server.output().event(said);
    crate::support::soon(&format!("the log says {why:?}"), said).await.expect("the program runs");
}
