//! Requests of browsers from pages of other sites, and access to the inbox.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward::clock::ManualClock;
use onceward::domain::Timestamp;
use onceward::gateway::{Gateway as _, Simulator};
use onceward::verification::numbers::CheckOutcome;
use onceward_testkit::{Memory, NUMBER, Script, Setup, World, send_body, sent, sms_code_body, verify_body};
use tokio::io::duplex;

use super::inbox::message;

const FOREIGN: &str = r#"{"code":403,"message":"The inbox can be opened only by an IP address, localhost, or the configured host name."}"#;

#[tokio::test]
async fn a_page_of_another_site_can_neither_send_nor_check() {
    let world = World::scripted(Script::panics()).await;
    let message = "Web pages of other sites may not call this.";
    for (path, body) in posts() {
        let reply = world.ask(post_from("cross-site", path, &body)).await;
        let expected = if path.starts_with("/api/") {
            format!(r#"{{"code":403,"message":"{message}"}}"#)
        } else {
            format!(r#"{{"message":"{message}"}}"#)
        };
        reply.is(403, &expected);
    }
}

#[tokio::test]
async fn a_page_of_the_same_site_can() {
    let world = World::scripted(Script::sends(sent()).or_checks(CheckOutcome::Approved)).await;
    for site in ["same-origin", "same-site", "none"] {
        for (path, body) in posts() {
            assert_eq!(world.ask(post_from(site, path, &body)).await.status, 200, "{site} {path}");
        }
    }
}

#[tokio::test]
async fn a_link_on_another_site_may_lead_to_the_inbox() {
    let world = with_inbox(None).await;
    let link = "GET /inbox HTTP/1.1\r\nhost: localhost:3000\r\nsec-fetch-site: cross-site\r\n\r\n";
    assert_eq!(world.ask(link).await.status, 200);
}

#[tokio::test]
async fn the_inbox_is_shown_only_under_local_names_and_the_configured_one() {
    let world = with_inbox(Some("codes.example")).await;
    for path in ["/inbox", "/inbox/messages", "/inbox/messages?to=%2B14155552671"] {
        for host in ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "Codes.example:3000"] {
            let reply = world.ask(get_of(host, path)).await;
            assert_eq!(reply.status, 200, "{host} {path}");
        }
        for host in ["evil.example", "evil.example:3000", "localhost.evil.example", ""] {
            world.ask(get_of(host, path)).await.is(403, FOREIGN);
        }
        for malformed in ["a b", "[evil]"] {
            assert_eq!(world.ask(get_of(malformed, path)).await.status, 400, "{malformed}");
        }
    }
    let two_hosts = "GET /inbox HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n";
    assert_eq!(world.ask(two_hosts).await.status, 400);
    world.ask("GET http://evil.example/inbox HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is(403, FOREIGN);
    assert_eq!(world.ask("GET /inbox HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn at_most_eight_long_pages_wait_for_clients_that_do_not_read() {
    let mut setup = inbox_setup(None).await;
    setup.simulates_all = true;
    let long = message(14_155_552_671, &"x".repeat(20_000), "012345");
    setup.inbox.as_deref().expect("a simulator").send(&long).await.expect("accepted");
    let mut client = with_small_windows(&Memory::with(setup)).await;
    let mut unread = Vec::new();
    let paths = ["/inbox", "/inbox/messages"];
    for path in paths.into_iter().cycle().take(8) {
        let response = ask(&mut client, "GET", path, "").await;
        assert_eq!(response.status(), 200, "{path}");
        unread.push(response);
    }
    for path in paths {
        assert_refused(ask(&mut client, "GET", path, "").await).await;
    }
    let short = ask(&mut client, "GET", "/inbox/messages?to=%2B14155552672", "").await;
    assert_eq!(short.status(), 200, "a short answer needs no permit");
    unread.pop().expect("a response").into_body().collect().await.expect("a body");
    assert_eq!(ask(&mut client, "GET", "/inbox", "").await.status(), 200);
}

#[tokio::test]
async fn the_form_of_the_inbox_sends_checks_and_repeats_little() {
    let script = Script::sends(sent()).or_checks(CheckOutcome::NotFound);
    let mut setup = inbox_setup(None).await;
    setup.simulates_all = true;
    setup.script = script.clone();
    let mut client = with_small_windows(&Memory::with(setup)).await;
    let number = NUMBER.replace('+', "%2B");
    let response = ask(&mut client, "POST", "/inbox", &format!("number={number}&action=send")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (303, &"/inbox".parse().expect("a value"))
    );
    for (form, words) in [
        (format!("number={number}&code=123456&action=check"), "Try again"),
        (format!("number={}", "\"".repeat(10_000)), "cannot be used: not a phone number"),
    ] {
        // A reload of what it leads to repeats nothing.
        let failed = ask(&mut client, "POST", "/inbox", &form).await;
        assert_eq!(
            (failed.status().as_u16(), failed.headers()["location"].as_bytes()),
            (303, &b"/inbox"[..])
        );
        let cookie = failed.headers()["set-cookie"].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        let page = ask_with(&mut client, "GET", "/inbox", "", &cookie).await;
        assert!(page.headers()["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
        let page = page.into_body().collect().await.expect("a body").to_bytes();
        let page = String::from_utf8_lossy(&page);
        let repeated = page.matches("&#34;").count();
        assert!(page.contains(words) && repeated <= 200, "{repeated} {page}");
    }
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn a_page_that_is_the_same_for_every_client_needs_no_permit() {
    let mut client = with_small_windows(&Memory::scripted(Script::panics())).await;
    let mut unread = Vec::new();
    for path in ["/", "/docs", "/openapi.json"].into_iter().cycle().take(30) {
        let response = ask(&mut client, "GET", path, "").await;
        assert_eq!(response.status(), 200, "{path}");
        unread.push(response);
    }
}

async fn assert_refused(response: Response<Incoming>) {
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let message = "Too many requests are in progress. Try again shortly.";
    assert_eq!(body, format!(r#"{{"code":503,"message":"{message}"}}"#));
}

/// A front end with one message in its inbox.
async fn with_inbox(host_name: Option<&'static str>) -> World {
    World::with(inbox_setup(host_name).await).await
}

async fn inbox_setup(host_name: Option<&'static str>) -> Setup {
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_000_000));
    let simulator = Simulator::new(Arc::new(clock));
    simulator.send(&message(14_155_552_671, "Code 123456", "123456")).await.expect("accepted");
    let mut setup = Setup::scripted(Script::panics());
    setup.inbox = Some(Arc::new(simulator));
    setup.host_name = host_name;
    setup
}

/// A client whose streams take a thousand bytes before they are read.
async fn with_small_windows(server: &Memory) -> SendRequest<Full<Bytes>> {
    let (near, far) = duplex(64 * 1024);
    server.serve_http2(far);
    let mut client = http2::Builder::new(TokioExecutor::new());
    let shaken = client.initial_stream_window_size(1_000).handshake(TokioIo::new(near)).await;
    let (client, connection) = shaken.expect("a handshake");
    tokio::spawn(connection);
    client
}

async fn ask(
    client: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: &str,
) -> Response<Incoming> {
    ask_with(client, method, path, body, "a=b").await
}

async fn ask_with(
    client: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: &str,
    cookie: &str,
) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(format!("http://localhost:3000{path}"));
    let body = if method == "POST" { body.to_owned() } else { String::new() };
    let request = request.header("origin", "http://localhost:3000").header("accept", "text/html");
    let request = request.header("cookie", cookie).body(Full::from(body));
    client.send_request(request.expect("a request")).await.expect("a response")
}

fn posts() -> [(&'static str, String); 4] {
    [
        ("/api/send-otp", send_body()),
        ("/api/verify-otp", verify_body("123456")),
        ("/send-code", send_body()),
        ("/verify-code", sms_code_body("123456")),
    ]
}

fn post_from(site: &str, path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\nsec-fetch-site: {site}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get_of(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}
