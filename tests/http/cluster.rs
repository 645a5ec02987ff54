//! A node of a cluster: what it answers while it owns the records, and while another node does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use onceward::http::{ClusterNode, Owner};
use onceward_testkit::{ProviderDouble, Setup, World, basic, get, is_error, post, root, send_body};
use tokio::sync::watch;

#[tokio::test]
async fn without_the_records_a_node_refuses_and_a_standby_before_the_body() {
    let standby = standby(peer()).await;
    let starting = World::with(Setup { is_loaded: false, ..Setup::default() }).await;
    let head = |path| format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
    for (node, request, is_twilios) in [
        (&standby, head("/api/send-otp"), false),
        (&standby, head("/send-code"), false),
        (&standby, head("/hooks/okta"), false),
        (&standby, head("/v2/Services"), true),
        (&standby, head("/v1/PhoneNumbers/1"), true),
        (&starting, get("/v2/Services"), true),
    ] {
        let reply = node.ask(&request).await;
        let seconds = ["retry-after", "x-onceward-retry-after"].map(|name| reply.header(name));
        let expected = if is_twilios { [None, Some("1")] } else { [Some("1"), None] };
        assert_eq!((reply.status, seconds), (503, expected), "{request}");
        if is_twilios {
            is_error(&reply, 503, 20503);
        }
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
async fn a_standby_answers_about_itself_and_is_ready_if_it_could_take_over() {
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
    let standby = standby(peer()).await;
    for path in ["/docs", "/openapi.json", "/hello-world"] {
        assert_eq!(standby.get(path).await.status, 200, "{path}");
    }
    let status = r#"{"node":"a","state":"standby","owner":"b"}"#;
    let alive = format!(r#"{{"code":200,"message":"alive","data":{status}}}"#);
    standby.get("/healthz").await.is(200, &alive);
    let metrics = standby.ask(with_credentials("/metrics", &root())).await;
    assert!(metrics.body.contains("onceward_cluster_node{state=\"standby\"} 1\n"), "{}", metrics.body);
    let wrong = root().replace(':', ":0");
    assert_eq!(standby.ask(with_credentials("/metrics", &wrong)).await.status, 401);
}

#[tokio::test]
async fn an_owner_that_stops_ends_what_it_has_begun_and_refuses_more() {
    let provider = ProviderDouble::hanging();
    let setup = Setup { node: Some(node(Owner::Here)), ..Setup::through(&provider) };
    let owner = World::with(setup).await;
    let (mut begun, mut later) = (owner.client().await, owner.client().await);
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
    let told = owner.get("/owner").await;
    assert!(told.status == 503 && !told.body.contains(r#""owner":"#), "no node owns them: {}", told.body);
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
