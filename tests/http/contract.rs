//! What older clients, probes and browsers get: health, and the index.

use onceward::registry::Scope;
use onceward_testkit::{ProviderDouble, Setup, V2World, World, get, root};

#[tokio::test]
async fn healthz_readyz_and_hello_world_answer_when_all_is_well() {
    let world = World::new().await;
    let hello = r#"{"code":200,"message":"Successful Response","data":"Hello world"}"#;
    world.get("/hello-world").await.is(200, hello);
    world.get("/healthz").await.is(200, r#"{"code":200,"message":"alive"}"#);
    world.get("/readyz").await.is(200, r#"{"code":200,"message":"ready"}"#);
}

#[tokio::test]
async fn readyz_tells_strangers_the_part_and_operators_the_reasons() {
    let provider = ProviderDouble::default();
    provider.is_ready_if(|_| Err("the token was refused".to_owned()));
    let world = V2World::with(Setup::through(&provider)).await;
    let stranger = r#"{"code":503,"message":"not ready","data":{"reason":"gateways"}}"#;
    let operator = r#"{"code":503,"message":"not ready","data":{"reason":"gateways","reasons":["the token was refused"]}}"#;
    world.world.get("/readyz").await.is(503, stranger);
    let [verifies, watches] =
        [world.key(None, &[Scope::Verify]).await, world.key(None, &[Scope::Metrics]).await];
    let root = root();
    for (caller, body) in
        [("AC:wrong", stranger), (&verifies, stranger), (&watches, operator), (&root, operator)]
    {
        let reply = world.ask("GET", "/readyz", caller, &[], "").await;
        reply.is(503, body);
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_index_is_a_page_for_a_browser_and_json_for_others() {
    let world = World::with(Setup { has_inbox: true, ..Setup::default() }).await;
    for (accept, is_page) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        ("Text/HTML;q=0.5", true),
        ("*/*", false),
        ("text/htmlx", false),
    ] {
        let request = get("/").replace("\r\n\r\n", &format!("\r\naccept: {accept}\r\n\r\n"));
        let reply = world.ask(request).await;
        let kind = if is_page { "text/html; charset=utf-8" } else { "application/json" };
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{accept}");
        let links = reply.body.contains("href=\"/inbox\"") && reply.body.contains("viewport");
        let policy = reply.header("content-security-policy").unwrap_or_default();
        let is_strict = policy.starts_with("default-src 'none'; style-src 'self'; ");
        assert_eq!((links, is_strict), (is_page, is_page), "{policy} {}", reply.body);
    }
}
