//! Lists: their pages, whose links `tests/sdk` follows, and the limit on them.

use onceward::http::LISTS;
use onceward_testkit::{V2World, is_error, json};

#[tokio::test]
async fn a_page_has_fifty_items_or_as_many_as_asked_for_up_to_a_thousand() {
    let world = V2World::new().await;
    for (query, size, items) in [
        ("Page=9&Unknown=x", 50, 0),
        ("PageSize=99999999999999999999999999", 1_000, 2),
        ("PageSize=0001001", 1_000, 2),
        ("PageSize=1000&Page=10000000", 1_000, 0),
    ] {
        let page = json(&world.get(&format!("/v2/Services?{query}")).await);
        let found = (page["meta"]["page_size"].clone(), page["services"].as_array().map(Vec::len));
        assert_eq!(found, (size.into(), Some(items)), "{query}");
    }
    for query in ["PageSize=0", "PageSize=%2B5", "Page=-1", "Page=10000001", "PageSize=1&PageSize=2"] {
        is_error(&world.get(&format!("/v2/Services?{query}")).await, 400, 60200);
    }
}

#[tokio::test]
async fn lists_that_are_too_many_at_once_are_503_and_nothing_else_is() {
    let world = V2World::new().await;
    let lists = &world.world.app.lists;
    let places = lists.acquire_many(u32::try_from(LISTS).expect("few")).await.expect("places");
    let paths = ["/v2/Attempts", "/v2/Attempts/Summary", "/v2/Services"];
    for path in paths {
        let refused = world.get(path).await;
        is_error(&refused, 503, 20503);
        assert_eq!(refused.header("x-onceward-retry-after"), Some("1"));
        let stranger = world.ask("GET", path, "AC:wrong", &[], "").await;
        is_error(&stranger, 401, 20003);
    }
    assert_eq!(world.post("/v2/Services", &[("FriendlyName", "Cat Bank")]).await.status, 201);
    drop(places);
    for path in paths {
        assert_eq!(world.get(path).await.status, 200);
    }
}
