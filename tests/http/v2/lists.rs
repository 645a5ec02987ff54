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
async fn a_list_that_grows_while_it_is_read_shows_each_row_once() {
    let world = V2World::new().await;
    let more = async |from: u32, count: u32| {
        for n in from..from + count {
            world.world.clock.advance(std::time::Duration::from_millis(2));
            world.begin(&format!("+1415555{:04}", 100 + n)).await;
            world.post("/v2/Services", &[("FriendlyName", "Cat Bank")]).await;
        }
    };
    for (list, key) in [("/v2/Attempts", "attempts"), ("/v2/Services", "services"), ("/v2/Audit", "entries")]
    {
        more(0, 7).await;
        let (mut url, mut seen, mut pages) = (format!("{list}?PageSize=3"), Vec::new(), 0);
        let all =
            json(&world.get(&format!("{list}?PageSize=1000")).await)[key].as_array().map_or(0, Vec::len);
        loop {
            let page = json(&world.get(&url).await);
            let rows = page[key].as_array().expect("rows");
            seen.extend(rows.iter().map(|row| (row["sid"].clone(), row["request_id"].clone())));
            pages += 1;
            more(100 + 2 * pages, 2).await;
            let Some(next) = page["meta"]["next_page_url"].as_str() else { break };
            url = next[next.find("/v2/").expect("a path")..].to_owned();
        }
        let distinct: std::collections::BTreeSet<String> =
            seen.iter().map(|row| format!("{row:?}")).collect();
        assert_eq!((distinct.len(), seen.len()), (all, all), "{list}");
    }
    is_error(&world.get("/v2/Attempts?PageToken=x").await, 400, 60200);
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
