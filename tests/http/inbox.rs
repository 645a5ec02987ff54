//! The inbox as HTML and JSON, and who may see it.

use std::time::Duration;

use onceward::domain::{Code, PhoneNumber, Region, ServiceId};
use onceward::gateway::{Gateway as _, OutgoingMessage};
use onceward::registry::Scope;
use onceward_gateway::double::message;
use onceward_testkit::{NUMBER, Setup, THEN, V2World, World, get, json, root, send_body, sid};

#[tokio::test]
async fn a_message_is_told_in_full_and_its_markup_is_shown_as_it_is_written() {
    let world = with_inbox(Setup::default()).await.world;
    // No number has this code: it can verify none.
    receive(&world, 491_711_234_567, "<b>\"222222\"</b>\n'&", "222222").await;
    world.clock.advance(Duration::from_secs(1));
    let (id, then) = (world.messages().remove(0).id, THEN.as_millis());
    let expected = serde_json::json!({
        "messages": [{
            "id": id, "to": "+491711234567", "channel": "sms", "text": "<b>\"222222\"</b>\n'&",
            "code": "222222", "receivedAtMs": then, "expiresAtMs": then + 30_000, "service": "default",
            "status": "ended",
        }],
        "nowMs": then + 1_000,
    });
    let reply = world.get("/inbox/messages").await;
    let headers = ["content-type", "cache-control"].map(|name| reply.header(name));
    assert_eq!((headers, json(&reply)), ([Some("application/json"), Some("no-store")], expected));

    let page = world.get("/inbox").await;
    assert!(page.body.contains("&#60;b&#62;&#34;222222&#34;&#60;/b&#62;\n&#39;&#38;"), "{}", page.body);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; "), "{policy}");
    assert!(!policy.contains("unsafe") && !page.body.contains("<style"), "{policy}");
}

#[tokio::test]
async fn a_code_is_live_only_while_it_can_be_right() {
    let world = with_inbox(Setup::default()).await;
    let newest = async |expected: &[&str]| {
        let inbox = json(&world.world.get("/inbox/messages").await);
        let statuses = expected.iter().enumerate().map(|(place, _)| &inbox["messages"][place]["status"]);
        assert_eq!(statuses.collect::<Vec<_>>(), expected);
    };
    let of_it = world.below(&format!("/Verifications/{}", sid(&world.begin(NUMBER).await)));
    newest(&["live"]).await;
    world.post(&of_it, &[("Status", "canceled")]).await;
    newest(&["ended"]).await;
    world.begin(NUMBER).await;
    newest(&["live", "ended"]).await;
    world.post(&world.below("/VerificationCheck"), &[("To", NUMBER), ("Code", &world.world.code())]).await;
    newest(&["approved", "ended"]).await;
    for _ in 0..2 {
        assert_eq!(world.world.post("/api/send-otp", &send_body()).await.status, 200);
    }
    newest(&["live", "ended", "approved"]).await;
    world.world.clock.advance(Duration::from_secs(3_600));
    newest(&["expired"; 4]).await;
}

#[tokio::test]
async fn the_form_sends_checks_and_repeats_little() {
    let world = with_inbox(Setup::default()).await.world;
    let ask = async |form: &str| {
        let head = "POST /inbox HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n";
        let rest = format!("accept: text/html\r\ncontent-length: {}\r\n\r\n{form}", form.len());
        world.ask(head.to_owned() + &rest).await
    };
    let reply = ask("number=%2B14155552671&action=send").await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/inbox#messages")));
    for (form, words) in [
        ("number=%2B14155552671&code=x&action=check".to_owned(), "doesn&#39;t match"),
        (format!("number={}", "\"".repeat(10_000)), "cannot be used: not a phone number"),
    ] {
        let failed = ask(&form).await;
        let repeated = failed.body.matches("&#34;").count();
        assert!(failed.body.contains(words) && repeated <= 200, "{repeated} {}", failed.body);
    }
    let [message] = &world.messages()[..] else { panic!("not one message") };
    let entered = format!("number=%2B14155552671&code={}&action=enter", message.code.expose());
    let checked = ask(&entered).await;
    assert_eq!(checked.header("location"), Some("/inbox?verified=yes"));
    assert!(world.get("/inbox?verified=yes").await.body.contains("the number is verified"));
}

#[tokio::test]
async fn the_inbox_is_shown_only_under_local_names_and_the_configured_one() {
    let mut setup = Setup::default();
    "codes.example".clone_into(&mut setup.settings.listen.host);
    let world = with_inbox(setup).await.world;
    let foreign = "The inbox can be opened only by an IP address, localhost, or the configured host name.";
    let foreign = format!(r#"{{"code":403,"message":"{foreign}"}}"#);
    for path in ["/inbox", "/inbox/messages"] {
        for (host, status) in
            [("localhost:3000", 200), ("Codes.example:3000", 200), ("evil.example:3000", 403), ("a b", 400)]
        {
            let reply = world.ask(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((reply.status, reply.body == foreign), (status, status == 403), "{host} {path}");
        }
    }
    let of_target = "GET http://evil.example/inbox HTTP/1.1\r\nhost: localhost\r\n\r\n";
    world.ask(of_target).await.is(403, &foreign);
    let link = get("/inbox").replacen("\r\n", "\r\nsec-fetch-site: cross-site\r\n", 1);
    assert_eq!(world.ask(link).await.status, 200, "a link on another site may lead to it");
}

#[tokio::test]
async fn an_inbox_that_others_reach_asks_for_the_credentials_of_an_operator() {
    let mut setup = Setup::default();
    setup.settings.registry.local_only = false;
    setup.settings.registry.allows_unauthenticated = false;
    "codes.example".clone_into(&mut setup.settings.listen.host);
    let world = with_inbox(setup).await;
    receive(&world.world, 14_155_552_671, "Code 111111", "111111").await;
    let of_one = world.key(Some(world.service.id), &[Scope::Admin]).await;
    let verify = world.key(Some(ServiceId::DEFAULT), &[Scope::Verify]).await;
    let admin = world.key(None, &[Scope::Admin]).await;
    let both = world.key(None, &[Scope::Admin, Scope::Verify]).await;
    for (caller, page, form) in [
        ("AC:wrong", 401, 401),
        (&verify, 403, 403),
        (&of_one, 403, 403),
        (&admin, 200, 403),
        (&both, 200, 303),
        (&root(), 200, 303),
    ] {
        for path in ["/inbox", "/inbox/messages"] {
            let reply = world.ask("GET", path, caller, &[], "").await;
            assert_eq!((reply.status, reply.body.contains("14155552671")), (page, page == 200), "{path}");
            let asks_the_user = reply.header("www-authenticate").is_some_and(|how| how.starts_with("Basic"));
            assert_eq!(asks_the_user, page == 401, "{path}");
        }
        let sent = world.ask("POST", "/inbox", caller, &["accept: text/html"], "number=%2B14155552671").await;
        assert_eq!(sent.status, form, "{caller}");
    }
    assert_eq!(world.world.ask(get("/inbox").replace("localhost", "codes.example")).await.status, 401);
}

/// A server whose simulator has an inbox. The default service is called "default".
async fn with_inbox(mut setup: Setup) -> V2World {
    setup.has_inbox = true;
    setup.settings.storage.default_region = Region::parse("DE");
    "default".clone_into(&mut setup.settings.brand);
    V2World::with(setup).await
}

async fn receive(world: &World, to: u64, text: &str, code: &str) {
    let message = OutgoingMessage {
        to: PhoneNumber::from_u64(to).expect("a number"),
        code: Code::parse(code).expect("a code"),
        valid_for: Duration::from_secs(30),
        ..message(text)
    };
    world.simulator().send(&message).await.expect("accepted");
}
