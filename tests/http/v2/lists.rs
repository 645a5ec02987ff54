//! Lists: their pages, whose links `tests/sdk` follows, and the limit on long answers.

use onceward::registry::EventType;
use onceward_testkit::{Setup, V2World, basic, is_error, json, root};
use serde_json::json;

#[tokio::test]
async fn a_page_has_fifty_items_or_as_many_as_asked_for_up_to_a_thousand() {
    let world = V2World::new().await;
    for (query, size, items) in [
        ("Page=9&Unknown=x", 50, 0),
        ("PageSize=5000", 1_000, 2),
        ("PageSize=99999999999999999999999999", 1_000, 2),
        ("PageSize=0001001", 1_000, 2),
        ("PageSize=1000&Page=10000000&PageToken=PT18446744073709551615", 1_000, 0),
    ] {
        let page = json(&world.get(&format!("/v2/Services?{query}")).await);
        assert_eq!(page["meta"]["page_size"], size, "{query}");
        assert_eq!(page["services"].as_array().map(Vec::len), Some(items), "{query}");
        let first = format!("http://codes.example/v2/Services?PageSize={size}&Page=0");
        assert_eq!(
            (&page["meta"]["first_page_url"], &page["meta"]["next_page_url"]),
            (&json!(first), &json!(null))
        );
    }
}

#[tokio::test]
async fn bad_values_are_60200() {
    let world = V2World::new().await;
    for query in
        ["PageSize=0", "PageSize=x", "PageSize=%2B5", "Page=-1", "PageToken=abc", "PageSize=1&PageSize=2"]
    {
        is_error(&world.get(&format!("/v2/Services?{query}")).await, 400, 60200);
    }
}

#[tokio::test]
async fn the_server_refuses_reads_but_no_changes_beside_too_many_long_answers() {
    let mut setup = Setup::default();
    // It makes the answer to a change long.
    setup.settings.delivery.public_url = Some(format!("http://codes.example/{}", "x".repeat(500)).into());
    let world = V2World::with(setup).await;
    let permits: Vec<_> =
        (0..8).map(|_| world.world.app.long_answers.acquire(None).expect("a permit")).collect();
    let paths = ["/v2/Attempts", "/v2/Attempts/Summary", "/v2/Services"];
    for path in paths {
        is_error(&world.get(path).await, 429, 20429);
    }
    let changed = world.post("/v2/Services", &[("FriendlyName", "Cat Bank")]).await;
    assert!(changed.status == 201 && changed.body.len() > 4 * 1024, "{}", changed.body);
    drop(permits);
    for path in paths {
        assert_eq!(world.get(path).await.status, 200);
    }
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
