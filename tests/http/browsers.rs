//! Requests of browsers from pages of other sites, and access to the inbox.

use std::sync::Arc;

use onceward::clock::ManualClock;
use onceward::domain::Timestamp;
use onceward::gateway::{Gateway as _, Simulator};
use onceward_testkit::{NUMBER, Setup, World, send_body, sms_code_body, verify_body};

use super::inbox::message;

const FOREIGN: &str = r#"{"code":403,"message":"The inbox can be opened only by an IP address, localhost, or the configured host name."}"#;

#[tokio::test]
async fn a_page_of_another_site_can_neither_send_nor_check() {
    let world = World::new().await;
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
    for site in ["same-origin", "same-site", "none"] {
        let world = World::new().await;
        for (path, body) in posts() {
            let reply = world.ask(post_from(site, path, &body)).await;
            assert_ne!(reply.status, 403, "{site} {path}");
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
async fn the_form_of_the_inbox_sends_checks_and_repeats_little() {
    let world = with_inbox(None).await;
    let ask = async |method: &str, cookie: &str, form: &str| {
        let head =
            format!("{method} /inbox HTTP/1.1\r\nhost: localhost:3000\r\norigin: http://localhost:3000\r\n");
        let length = form.len();
        let rest = format!("accept: text/html\r\ncookie: {cookie}\r\ncontent-length: {length}\r\n\r\n{form}");
        world.ask(head + &rest).await
    };
    let number = NUMBER.replace('+', "%2B");
    let reply = ask("POST", "a=b", &format!("number={number}&action=send")).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/inbox#messages")));
    for (form, words) in [
        (format!("number={number}&code=x&action=check"), "doesn&#39;t match"),
        (format!("number={}", "\"".repeat(10_000)), "cannot be used: not a phone number"),
    ] {
        // A reload of what it leads to repeats nothing.
        let failed = ask("POST", "a=b", &form).await;
        assert_eq!((failed.status, failed.header("location")), (303, Some("/inbox")));
        let cookie =
            failed.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
        let page = ask("GET", cookie, "").await;
        assert!(page.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
        let repeated = page.body.matches("&#34;").count();
        assert!(page.body.contains(words) && repeated <= 200, "{repeated} {}", page.body);
    }
    assert_eq!(world.messages().len(), 1);
}

/// A front end with one message in its inbox.
async fn with_inbox(host_name: Option<&'static str>) -> World {
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_000_000));
    let simulator = Simulator::new(Arc::new(clock));
    simulator.send(&message(14_155_552_671, "Code 123456", "123456")).await.expect("accepted");
    let mut setup = Setup { inbox: Some(Arc::new(simulator)), ..Setup::default() };
    if let Some(name) = host_name {
        name.clone_into(&mut setup.settings.listen.host);
    }
    World::with(setup).await
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
