//! Gateways that the server cannot reach, or not safely: it sends nothing and loses no time.

use std::net::TcpListener as StdListener;

use serde_json::json;

use super::kinds::GatewayKind;
use super::says;
use crate::support::documented::{failed, incorrect, sent};
use crate::support::{Act, Numbers, Raw, Setup};

const KIND: GatewayKind = GatewayKind::TwilioMessages;

#[tokio::test]
async fn a_gateway_that_is_not_reached_is_a_server_error_and_gets_no_message() {
    let address = StdListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let without_tls = Raw::start().await;
    without_tls.act(Act::CloseAtOnce);
    for (base, why) in [
        ("https://onceward.invalid".to_owned(), "its name could not be resolved"),
        (format!("http://{address}"), "no connection: connection refused"),
        (format!("https://{}", without_tls.address), "no connection"),
    ] {
        let server = KIND.at(&base, quick()).start().await;
        let number = Numbers::default().next();
        server.client.send(&number).await.expects(failed());
        server.client.verify(&number, "123456").await.expects(incorrect(&number, 5));
        says(&server, why).await;
    }
    assert_eq!(without_tls.requests(), 0);
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
        let setup = quick().config("sms", json!({"retry": retry}));
        let server = GatewayKind::Http.at(&format!("http://{}", raw.address), setup).start().await;
        let numbers = Numbers::default();
        for _ in 0..3 {
            let status = server.client.send(&numbers.next()).await.status();
            assert!(status == 500 || retry && status == 200, "{wait}: {status}");
        }
        assert!(!server.output().text().contains("panicked"), "{wait}");
    }
}

fn quick() -> Setup {
    Setup::new().config("send-budget", "1s")
}
