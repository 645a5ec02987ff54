//! Lists in pages.

use onceward_testkit::{V2World, is_error, json, named};
use serde_json::json;

#[tokio::test]
async fn pages_follow_each_other_until_there_are_none() {
    let world = V2World::new().await;
    for name in ["Cat Bank", "Dog Bank", "Fox Bank"] {
        world.registry.create_service(named(name)).await.expect("a service");
    }
    let mut path = "/v2/Services?PageSize=2".to_owned();
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = json(&world.get(&path).await);
        names.extend(page["services"].as_array().expect("a list").iter().map(|s| s["friendly_name"].clone()));
        assert_eq!((&page["meta"]["page"], &page["meta"]["page_size"]), (&json!(pages), &json!(2)));
        assert_eq!(page["meta"]["previous_page_url"].is_null(), pages == 0);
        pages += 1;
        let Some(next) = page["meta"]["next_page_url"].as_str() else { break };
        path = next.trim_start_matches("http://codes.example").to_owned();
    }
    assert_eq!(names, ["Fox Bank", "Dog Bank", "Cat Bank", "Owl Bank", "onceward"]);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_page_behind_the_last_is_empty_and_50_fit_on_one() {
    let world = V2World::new().await;
    let page = json(&world.get("/v2/Services?Page=9&Unknown=x").await);
    assert_eq!((&page["services"], &page["meta"]["next_page_url"]), (&json!([]), &json!(null)));
    assert_eq!(page["meta"]["page_size"], 50);
    assert_eq!(page["meta"]["first_page_url"], "http://codes.example/v2/Services?PageSize=50&Page=0");
}

#[tokio::test]
async fn a_page_has_at_most_a_thousand_items() {
    let world = V2World::new().await;
    for size in ["5000", "4294967296", "99999999999999999999999999", "0001001"] {
        let reply = world.get(&format!("/v2/Services?PageSize={size}")).await;
        assert_eq!((reply.status, &json(&reply)["meta"]["page_size"]), (200, &1_000.into()), "{size}");
    }
}

#[tokio::test]
async fn bad_values_are_60200() {
    let world = V2World::new().await;
    for query in [
        "PageSize=0",
        "PageSize=000",
        "PageSize=x",
        "PageSize=%2B5",
        "Page=-1",
        "Page=99999999999",
        "PageToken=abc",
        "PageToken=PT",
        "PageSize=1&PageSize=2",
    ] {
        for path in ["/v2/Services".to_owned(), "/v2/Templates".to_owned(), world.below("/RateLimits")] {
            is_error(&world.get(&format!("{path}?{query}")).await, 400, 60200);
        }
    }
    assert_eq!(
        world.get("/v2/Services?PageSize=1000&Page=10000000&PageToken=PT18446744073709551615").await.status,
        200
    );
}
