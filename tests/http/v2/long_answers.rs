//! The limit on long answers.

use onceward::delivery::attempts::MOST_ROWS;
use onceward::domain::{Channel, ServiceId};
use onceward::registry::EventType;
use onceward::verification::verify::SealedAttempt;
use onceward_testkit::{Script, Setup, V2World, attempt, basic, is_error, root};

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
    let reply =
        world.post(&world.below("/Verifications"), &[("To", "+14155552671"), ("Channel", "sms")]).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert!(reply.body.len() > 4 * 1024);
}

/// It needs no permit, unless `public-url` is long.
#[tokio::test]
async fn no_request_makes_the_answer_to_a_change_long() {
    let world = V2World::new().await;
    world.fake.with_messages(all_but_three_messages());
    let wide = |count| "\u{10348}".repeat(count);
    let (name, note, description) = (wide(30), wide(64), wide(512));
    let url = format!("https://shop.example/{}", "x".repeat(2_027));
    let mut webhook = vec![("FriendlyName", note.as_str()), ("WebhookUrl", &url)];
    webhook.extend(EventType::ALL.map(|event| ("EventTypes", event.as_str())));
    for (path, form) in [
        ("/Verifications", vec![("To", "+14155552671"), ("Channel", "sms")]),
        ("", vec![("FriendlyName", &name), ("TtsName", &name)]),
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

/// Beside the three that the fake shows.
fn all_but_three_messages() -> Vec<SealedAttempt> {
    vec![attempt(4, ServiceId::DEFAULT, Channel::WhatsApp); MOST_ROWS - 3]
}

/// In this world the answer to a change is long.
async fn with_all_permits_taken() -> (V2World, impl Sized) {
    let mut setup = Setup::scripted(Script::panics());
    setup.public_url = Some(format!("http://codes.example/{}", "x".repeat(500)));
    let limiter = setup.long_answers.clone();
    let world = V2World::with(setup).await;
    world.fake.with_messages(all_but_three_messages());
    let permits: Vec<_> = (0..8).map(|_| limiter.acquire(None).expect("a permit")).collect();
    (world, permits)
}
