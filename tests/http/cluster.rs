//! A node of a cluster: what it answers while it owns the records, and while another node does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use onceward::http::{ClusterNode, Owner};
use onceward_testkit::{FakeProvider, Setup, World, basic, get, post, root, send_body};
use tokio::sync::watch;

#[tokio::test]
async fn a_standby_refuses_a_request_before_its_body_has_arrived() {
    let standby = standby(peer()).await;
    for (path, header, other) in [
        ("/api/send-otp", "retry-after", "x-onceward-retry-after"),
        ("/send-code", "retry-after", "x-onceward-retry-after"),
        ("/hooks/okta", "retry-after", "x-onceward-retry-after"),
        ("/v2/Services", "x-onceward-retry-after", "retry-after"),
        ("/v1/PhoneNumbers/1", "x-onceward-retry-after", "retry-after"),
    ] {
        let mut client = standby.client().await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
        let reply = client.ask(head).await;
        assert_eq!(reply.status, 503, "{path}");
        assert_eq!((reply.header(header), reply.header(other)), (Some("1"), None), "{path}");
    }
}

#[tokio::test]
async fn owner_is_200_where_requests_are_answered_and_else_names_that_node() {
    const ANSWERS: &str = r#"{"code":200,"message":"this node answers requests""#;
    World::new().await.get("/owner").await.is(200, &format!("{ANSWERS}}}"));
    let owner = World::with(Setup { node: Some(node(Owner::Here)), ..Setup::default() }).await;
    let data = r#","data":{"node":"a","state":"owner","owner":"a"}}"#;
    owner.get("/owner").await.is(200, &format!("{ANSWERS}{data}"));
    let loading = World::with(Setup { is_loaded: false, ..Setup::default() }).await;
    for (server, data) in [
        (loading, ""),
        (standby(Owner::Here).await, r#","data":{"node":"a","state":"no_owner","owner":"a"}"#),
        (standby(peer()).await, r#","data":{"node":"a","state":"standby","owner":"b"}"#),
        (standby(Owner::Vacant).await, r#","data":{"node":"a","state":"no_owner"}"#),
    ] {
        let reply = server.get("/owner").await;
        let message = "This node does not answer requests now. Another node of the cluster may.";
        reply.is(503, &format!(r#"{{"code":503,"message":"{message}"{data}}}"#));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_standby_answers_about_itself_and_names_the_owner() {
    let standby = standby(peer()).await;
    for path in ["/docs", "/openapi.json", "/hello-world", "/readyz"] {
        assert_eq!(standby.get(path).await.status, 200, "{path}");
    }
    let status = r#"{"node":"a","state":"standby","owner":"b"}"#;
    let alive = format!(r#"{{"code":200,"message":"alive","data":{status}}}"#);
    standby.get("/healthz").await.is(200, &alive);
    let ask = async |path, user: &str| standby.ask(with_credentials(path, user)).await;
    let metrics = ask("/metrics", &root()).await;
    assert!(metrics.body.contains("onceward_cluster_node{state=\"standby\"} 1\n"), "{}", metrics.body);
    for user in ["AC:wrong", &root().replace(':', ":0"), &root()[1..]] {
        assert_eq!(ask("/metrics", user).await.status, 401, "{user}");
    }
}

#[tokio::test]
async fn a_standby_is_ready_if_it_could_take_over() {
    for (owner, status, reason) in [
        (peer(), 200, ""),
        (Owner::Vacant, 200, ""),
        (Owner::Here, 503, "loads them"),
        (Owner::Importing, 503, "before an import is complete"),
        (Owner::Refused("no space".to_owned()), 503, "etcd refuses its request: no space"),
        (Owner::Unknown, 503, "etcd does not answer"),
    ] {
        let reply = standby(owner.clone()).await.ask(with_credentials("/readyz", &root())).await;
        assert_eq!(reply.status, status, "{owner:?}");
        assert!(reply.body.contains(reason), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_owner_that_stops_ends_what_it_has_begun_and_refuses_more() {
    let provider = FakeProvider::hanging();
    let setup = Setup { node: Some(node(Owner::Here)), ..Setup::through(&provider) };
    let owner = World::with(setup).await;
    let (mut begun, mut later) = (owner.client().await, owner.client().await);
    assert_eq!(later.ask(get("/owner")).await.status, 200);
    begun.send(post("/api/send-otp", &send_body())).await;
    provider.arrived(1).await;
    let app = Arc::clone(&owner.app);
    app.is_stopping.store(true, Ordering::Relaxed);
    let mut finished = Box::pin(app.in_progress.write());
    tokio::select! {
        biased;
        _ = &mut finished => panic!("a request is in progress"),
        () = std::future::ready(()) => {}
    }
    let refused = later.ask(post("/api/send-otp", &send_body())).await;
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    assert_eq!(owner.get("/owner").await.status, 503);
    provider.hangs(false);
    assert_eq!(begun.reply().await.status, 200);
    drop(finished.await);
}

fn with_credentials(path: &str, user: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n{}\r\n", basic(user))
}

fn peer() -> Owner {
    Owner::Peer("b".to_owned())
}

fn node(owner: Owner) -> ClusterNode {
    ClusterNode { name: "a".to_owned(), owner: watch::Sender::new(owner).subscribe() }
}

/// A node that has not loaded the records.
async fn standby(owner: Owner) -> World {
    World::with(Setup { node: Some(node(owner)), is_loaded: false, ..Setup::default() }).await
}
