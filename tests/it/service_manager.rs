//! Messages to the service manager, such as systemd.

use rustix::process::Signal;

use crate::support::prelude::*;

/// The watchdog's period in microseconds.
const PERIOD: u64 = 200_000;

#[tokio::test]
async fn readiness_is_announced_once_requests_are_served_and_reloads_too() {
    let address = unused_address();
    let (manager, setup) = Manager::of(Setup::new());
    let shim = Shim::over(&setup.data_dir());
    let setup = shim.under(setup).args(["--listen", &address.to_string()]);
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    let mut server = setup.launch();
    server.client = Client::new(address);
    let (mut early, starting) = manager.until("STATUS=not ready: the store is being loaded").await;
    assert!(starting.contains(&"EXTEND_TIMEOUT_USEC=60000000".to_owned()), "{starting:?}");
    server.client.send("+14155550123").await.expects_refusal(503).says(["The server is starting."]);
    server.signal(Signal::HUP);
    let output = || async { server.output().text() };
    until("the signal", output, |text| text.contains("SIGHUP ignored")).await;
    early.extend(manager.received());
    assert!(!early.contains(&"READY=1".to_owned()), "{early:?}");

    shim.end();
    let (_, ready) = manager.until("READY=1").await;
    assert!(ready.contains(&"STATUS=ready".to_owned()), "{ready:?}");
    assert_eq!(server.client.get("/readyz").await.status(), 200);
    assert_eq!(server.client.send("+14155550123").await.status(), 200);

    // A reload says when it begins and when it ends.
    server.signal(Signal::HUP);
    let (_, reloading) = manager.until("RELOADING=1").await;
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    manager.until("READY=1").await;
}

#[tokio::test]
async fn a_stop_is_announced_before_requests_in_progress_are_finished() {
    let (manager, setup) = Manager::of(Setup::new());
    let world = World::of(setup).await;
    let number = world.number();
    let sending = world.hang_at_the_gateway(&number).await;
    world.server.signal(Signal::TERM);
    let (_, stopping) = manager.until("STOPPING=1").await;
    assert!(stopping.iter().any(|line| line.starts_with("STATUS=stopping")), "{stopping:?}");
    assert!(!sending.is_finished(), "the send waits for the gateway");
    world.twilio().release();
    assert_eq!(sending.await.expect("an answer").status(), 200);
    assert_eq!(world.server.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_hears_from_a_server_whose_disk_refuses_writes() {
    let (manager, setup) = Manager::of(Setup::new().env("WATCHDOG_USEC", PERIOD.to_string()));
    let world = World::of(setup).await;
    world.server.let_writes_fail();
    assert_eq!(world.send(&world.number()).await.status(), 503);
    manager.until("STATUS=not ready: ").await;
    manager.received();
    for _ in 0..3 {
        manager.until("WATCHDOG=1").await;
    }
    assert_eq!(world.get("/readyz").await.status(), 503);
}

#[tokio::test]
async fn the_watchdog_hears_nothing_while_the_journal_hangs() {
    let setup = Setup::new().config("bounds.commit-timeout", 3_000).env("WATCHDOG_USEC", PERIOD.to_string());
    let (manager, setup) = Manager::of(setup);
    let (world, shim) = World::over_shim(setup).await;
    manager.until("WATCHDOG=1").await;
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    let _waits = world.begin_send(&world.number());
    // One message may have been on its way when the journal began to hang.
    manager.received();
    // Health reports a write after five seconds: 25 periods.
    let (meanwhile, _) = manager.until("STATUS=not ready: the disk has not finished a write for").await;
    assert!(!meanwhile.contains(&"WATCHDOG=1".to_owned()), "{meanwhile:?}");

    shim.end();
    manager.until("WATCHDOG=1").await;
}
