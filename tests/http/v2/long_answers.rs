//! The limit on long answers.

use onceward::registry::EventType;
use onceward_testkit::{Setup, V2World, basic, is_error, root};

#[tokio::test]
async fn reads_are_refused_while_too_many_long_answers_are_read() {
    let (world, permits) = with_all_permits_taken().await;
    let paths = ["/v2/Attempts", "/v2/Attempts/Summary", "/v2/Services"];
    for path in paths {
        is_error(&world.get(path).await, 429, 20429);
    }
    drop(permits);
    for path in paths {
        assert_eq!(world.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn a_change_is_answered_while_too_many_long_answers_are_read() {
    let (world, _permits) = with_all_permits_taken().await;
    let reply = world.post("/v2/Services", &[("FriendlyName", "Cat Bank")]).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert!(reply.body.len() > 4 * 1024);
}

/// It needs no permit, unless `public-url` is long.
#[tokio::test]
async fn no_request_makes_the_answer_to_a_change_long() {
    let world = V2World::new().await;
    let wide = |count| "\u{10348}".repeat(count);
    let (name, note, description) = (wide(30), wide(64), wide(512));
    let url = format!("https://shop.example/{}", "x".repeat(2_027));
    let mut webhook = vec![("FriendlyName", note.as_str()), ("WebhookUrl", &url)];
    webhook.extend(EventType::ALL.map(|event| ("EventTypes", event.as_str())));
    for (path, form) in [
        ("", vec![("FriendlyName", &*name), ("TtsName", &name)]),
        ("/RateLimits", vec![("UniqueName", "session"), ("Description", &description)]),
        ("/Webhooks", webhook),
    ] {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        // The longest host that is repeated.
        let head = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", world.below(path), "h".repeat(262));
        let form = "content-type: application/x-www-form-urlencoded";
        let rest = format!("{}{form}\r\ncontent-length: {}\r\n\r\n{body}", basic(&root()), body.len());
        let reply = world.world.ask(head + &rest).await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
        assert!((2_048..=4_096).contains(&reply.body.len()), "{path}: {}", reply.body.len());
    }
}

/// In this world the answer to a change is long.
async fn with_all_permits_taken() -> (V2World, impl Sized) {
    let mut setup = Setup::default();
    setup.settings.delivery.public_url = Some(format!("http://codes.example/{}", "x".repeat(500)).into());
    let world = V2World::with(setup).await;
    let permits: Vec<_> =
        (0..8).map(|_| world.world.app.long_answers.acquire(None).expect("a permit")).collect();
    (world, permits)
}
