//! The soft stop and the hard stop.

use onceward::verification::numbers::SendOutcome;
use onceward_testkit::{Gate, Script, World, get, post, send_body};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stop_answers_a_held_request_and_closes_its_connection() {
    let gate = Gate::closed();
    let world = World::scripted(Script::sends(SendOutcome::GatewayFailed).behind(&gate)).await;
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    gate.arrival().await;
    let server = world.begin_stop();
    tokio::task::yield_now().await;
    assert!(!server.is_finished());
    gate.let_through(1);
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (500, Some("close")));
    assert_eq!(client.rest().await, "");
    server.await.expect("no panic");
}

#[tokio::test]
async fn when_the_server_stops_idle_and_silent_connections_end_at_once() {
    let world = World::scripted(Script::panics()).await;
    let mut idle = world.client().await;
    idle.send(get("/healthz")).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut silent = world.client().await;
    // The server has accepted both once it serves a third one.
    assert_eq!(world.get("/healthz").await.status, 200);
    world.begin_stop().await.expect("no panic");
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn a_stop_ends_the_accepting_of_connections() {
    let world = World::scripted(Script::panics()).await;
    let address = world.address;
    world.begin_stop().await.expect("no panic");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn when_the_server_is_dropped_everything_it_began_ends() {
    let gate = Gate::closed();
    let script = Script::sends(SendOutcome::GatewayFailed).behind(&gate);
    let world = World::scripted(script).await;
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    gate.arrival().await;
    world.drop_server().await;
    gate.departure().await;
    assert_eq!(client.rest().await, "");
}
