//! Start and stop.

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::documented::sent;
use crate::support::{Client, HttpResponse, Numbers, Reply, Says, Setup, World, until};

#[tokio::test]
async fn a_stop_finishes_the_send_that_was_begun_and_exits_zero() {
    let world = World::new().await;
    let number = world.number();
    let hanging = hang_at_the_gateway(&world, &number).await;

    world.server.signal(Signal::TERM);
    refuses_connections(&world).await;
    assert!(!hanging.is_finished(), "the send waits for the gateway");

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&number, 5));
    world.server.ended().await.exits(0);
}

#[tokio::test]
async fn an_interrupt_from_the_keyboard_is_a_stop_too() {
    let world = World::new().await;
    world.number_with_code().await;
    world.server.signal(Signal::INT);
    assert_eq!(world.server.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_stop() {
    let world = World::with([("graceful-stop", "10m".into())]).await;
    world.connect_to_have(20).await;
    world.get("/healthz").await;
    let silent = TcpStream::connect(world.address()).await.expect("a connection");
    assert_eq!(world.server.stop().await.status.code(), Some(0));
    drop(silent);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_exit_code_tells() {
    let world = World::with([("graceful-stop", "10m".into()), ("send-budget", "1m".into())]).await;
    let number = world.number();
    let hanging = hang_at_the_gateway(&world, &number).await;
    world.server.signal(Signal::TERM);
    refuses_connections(&world).await;

    let finished = world.server.stop().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    hanging.abort();
}

#[tokio::test]
async fn a_stop_that_takes_too_long_ends_hard_and_the_exit_code_tells() {
    let world = World::with([("graceful-stop", "300ms".into()), ("send-budget", "1m".into())]).await;
    let number = world.number();
    let hanging = hang_at_the_gateway(&world, &number).await;
    let finished = world.server.stop().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    hanging.abort();
}

#[tokio::test]
async fn a_data_directory_in_use_stops_the_start() {
    let world = World::new().await;
    let finished = world.setup.run().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    finished.says(["in use", "data"]);

    // The first server continues.
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &code).await.status(), 200);
}

#[tokio::test]
async fn a_wrong_server_key_stops_the_start() {
    let world = World::new().await;
    world.number_with_code().await;
    world.server.stop().await;

    // The valid key of another installation.
    let other = World::new().await;
    let key_of_other = std::fs::read(other.setup.data_dir().join("server.key")).expect("a key");
    std::fs::write(world.setup.data_dir().join("server.key"), key_of_other).expect("another key");
    let finished = world.setup.run().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    assert!(finished.output.contains("key"), "{}", finished.output);
}

#[tokio::test]
async fn a_lost_server_key_is_not_silently_replaced() {
    let world = World::new().await;
    world.number_with_code().await;
    world.server.stop().await;

    let key = world.setup.data_dir().join("server.key");
    std::fs::remove_file(&key).expect("the key goes");
    let finished = world.setup.run().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    assert!(finished.output.contains("server.key"), "{}", finished.output);
    assert!(!key.exists());
}

#[tokio::test]
async fn only_the_owner_can_read_the_server_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let key = world.setup.data_dir().join("server.key");
    let mode = std::fs::metadata(key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_first_lines_name_what_to_open_and_a_command_to_try() {
    let server = Setup::new().start().await;
    let url = format!("http://{}", server.client.address());
    until(
        "the lines of the start",
        || async { server.output().text() },
        |text| {
            text.contains(&format!("{url}/inbox")) && text.contains("curl ") && text.contains("/api/send-otp")
        },
    )
    .await;
    assert!(server.output().text().to_lowercase().contains("simulator"));
}

#[tokio::test]
async fn without_any_setting_the_log_is_plain_text_that_a_person_can_act_on() {
    // Only the port differs from plain `onceward`, because tests share a machine.
    let server = Setup::bare().env("PORT", "0").launch();
    let text =
        until("the command to try", || async { server.output().text() }, |text| text.contains("curl ")).await;
    let (_, command) = text.split_once("curl ").expect("a command");
    let address =
        command.split_once("http://").and_then(|(_, rest)| rest.split_once('/')).expect("an address").0;
    let client = Client::new(address.replace("localhost", "127.0.0.1").parse().expect("an address"));
    client.send("+14155550123").await.expects(sent("+14155550123", 5));
    assert!(!text.contains('\u{1b}'), "no colours where the output is no terminal: {text:?}");
}

#[tokio::test]
async fn a_port_in_use_stops_the_start_with_the_address() {
    let server = Setup::new().start().await;
    let address = server.client.address().to_string();
    let setup = Setup::bare().args(["--listen", &address]);
    let finished = setup.run().await;
    assert!(finished.status.code().is_some_and(|code| code != 0), "{:?}", finished.status);
    assert!(finished.output.contains(&address), "{}", finished.output);
}

#[tokio::test]
async fn numbers_are_served_by_the_next_server_as_soon_as_the_first_has_ended() {
    let mut world = World::new().await;
    let number = Numbers::default().next();
    for _ in 0..5 {
        assert_eq!(world.send(&number).await.status(), 200);
        (world, _) = world.restart().await;
    }
}

pub async fn hang_at_the_gateway(world: &World, number: &str) -> JoinHandle<HttpResponse> {
    world.twilio.plan(number, [Reply::Hang]);
    let (client, number) = (world.server.client.clone(), number.to_owned());
    let hanging = tokio::spawn(async move { client.send(&number).await });
    world.twilio.arrived(1).await;
    hanging
}

async fn refuses_connections(world: &World) {
    until("no new connections", || TcpStream::connect(world.address()), Result::is_err)
        .await
        .map(drop)
        .unwrap_err();
}
