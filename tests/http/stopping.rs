//! The soft stop and the hard stop.

use std::sync::Arc;

use onceward_testkit::{Gate, Setup, World, get, post, send_body};
use tokio::net::TcpStream;

use super::forwarding::local;

#[tokio::test]
async fn a_stop_answers_a_held_request_and_closes_its_connection() {
    let gate = Gate::closed();
    let world = World::with(Setup::through(gate.clone())).await;
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    gate.arrival().await;
    let server = world.begin_stop();
    tokio::task::yield_now().await;
    assert!(!server.is_finished());
    gate.let_through(1);
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(client.rest().await, "");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_stop_ends_idle_and_silent_connections_at_once_and_accepts_no_more() {
    let world = World::new().await;
    let address = world.address;
    let (mut idle, mut silent) = (world.client().await, world.client().await);
    assert_eq!(idle.ask(get("/healthz")).await.status, 200);
    // The server has accepted both once it serves a third one.
    assert_eq!(world.get("/healthz").await.status, 200);
    world.begin_stop().await.expect("no panic");
    assert_eq!((idle.rest().await, silent.rest().await), (String::new(), String::new()));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn when_the_server_is_dropped_everything_it_began_ends() {
    let gate = Gate::closed();
    let world = World::with(local(&gate)).await;
    let app = Arc::clone(&world.app);
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    gate.arrival().await;
    world.drop_server().await;
    app.forwarder.as_ref().expect("a node").idle().await;
    assert_eq!(client.rest().await, "");
}
