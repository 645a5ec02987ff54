//! Start, readiness and stop, and what survives a restart.

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tokio::net::TcpStream;

use crate::belief::Facts;
use crate::support::prelude::*;

#[tokio::test]
async fn a_stop_that_takes_too_long_or_a_second_signal_ends_it_with_an_error() {
    for graceful_stop in ["300ms", "10m"] {
        let world =
            World::with([("graceful-stop", graceful_stop.into()), ("send-budget", "1m".into())]).await;
        let hanging = world.hang_at_the_gateway(&world.number()).await;
        if graceful_stop == "10m" {
            world.server.signal(Signal::TERM);
            let refused = until("the stop", || TcpStream::connect(world.address()), Result::is_err);
            assert!(refused.await.is_err());
        }
        assert!(world.server.stop().await.status.code().is_some_and(|code| code != 0));
        hanging.abort();
    }
}

/// Where this machine forbids them to everyone, the test shows nothing.
#[tokio::test]
async fn the_program_leaves_no_core_dump() {
    let server = Setup::new().start().await;
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    assert_eq!(prlimit(Some(server.pid()), Resource::Core, limit).expect("its limit"), limit);
}

#[tokio::test]
async fn without_any_setting_the_log_is_plain_text_that_a_person_can_act_on() {
    // Only the port differs from plain `onceward`, because tests share a machine.
    let server = Setup::bare().env("PORT", "0").launch();
    let output = || async { server.output().text() };
    let shown = |text: &String| ["/inbox", "curl ", "/api/send-otp"].iter().all(|part| text.contains(part));
    let text = until("what to open, and a command to try", output, shown).await;
    assert!(text.to_lowercase().contains("simulator"), "{text}");
    let (_, command) = text.split_once("curl ").expect("a command");
    let address = between(command, "http://", "/");
    let client = Client::new(address.replace("localhost", "127.0.0.1").parse().expect("an address"));
    client.send("+14155550123").await.expects(sent("+14155550123", 5));
    assert!(!text.contains('\u{1b}'), "no colours where the output is no terminal: {text:?}");
    // A person who tries it stops it from the keyboard.
    server.signal(Signal::INT);
    assert!(server.ended().await.status.success());
}

#[tokio::test]
async fn everything_survives_an_orderly_stop_or_a_kill_and_a_clock_set_back() {
    // 1024 is the most.
    for (shards, is_killed) in [(None, false), (None, true), (Some(1024), false)] {
        println!("shards {shards:?}, killed: {is_killed}");
        let setup =
            shards.into_iter().fold(Setup::new(), |setup, shards| setup.config("bounds.shards", shards));
        let (clock, setup) = Shifted::over(setup);
        let world = World::of(setup).await;
        let facts = Facts::made_in(&world).await;
        clock.by(-100 * 60 * 60);
        let world = if is_killed {
            world.restart_after_kill().await
        } else {
            let (world, finished) = world.restart().await;
            finished.exits(0);
            world
        };
        world.server.logs_times(1, "WARN", "wall clock behind").await;
        facts.hold(&world).await;
    }
}
