//! Messages to the service manager, such as systemd.

use rustix::process::Signal;
use tokio::net::UnixDatagram;

use crate::support::prelude::*;

/// The watchdog's period in microseconds.
const PERIOD: u64 = 200_000;

#[tokio::test]
async fn readiness_is_announced_once_requests_are_served() {
    let address = unused_address();
    let (manager, setup) = Manager::of(Setup::new());
    let shim = Shim::over(&setup.data_dir());
    let setup = shim.under(setup).args(["--listen", &address.to_string()]);
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    let mut server = setup.launch();
    server.client = Client::new(address);
    let starting = || server.client.try_send("+14155550123");
    let refused = until("the start", starting, Result::is_ok).await.expect("an answer");
    refused.expects_refusal(503).says(["The server is starting."]);
    server.signal(Signal::HUP);
    let output = || async { server.output().text() };
    until("the signal", output, |text| text.contains("SIGHUP ignored")).await;
    assert_eq!(manager.received(), [""; 0]);

    shim.end();
    manager.until("READY=1").await;
    assert_eq!(server.client.get("/readyz").await.status(), 200);
    assert_eq!(server.client.send("+14155550123").await.status(), 200);
}

#[tokio::test]
async fn a_stop_is_announced_also_in_metrics_before_open_requests_end() {
    let setup = Setup::new().config("metrics-listen", "127.0.0.1:0").config("send-budget", "1m");
    let (manager, setup) = Manager::of(setup);
    let world = World::of(setup).await;
    let event = world.server.line("metrics served without credentials").await;
    let metrics = Client::new(text(&event, "address").parse().expect("an address"));
    let ready = async || Scrape(metrics.get("/metrics").await.text()).value("onceward_ready");
    assert_eq!(ready().await, Some(1.0));
    let sending = world.hang_at_the_gateway(&world.number()).await;
    world.server.signal(Signal::TERM);
    manager.until("STOPPING=1").await;
    until("the stop", &ready, |ready| *ready == Some(0.0)).await;
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
    manager.received();
    for _ in 0..3 {
        manager.until("WATCHDOG=1").await;
    }
    assert_eq!(world.get("/readyz").await.status(), 503);
    world.setup.command(["health"]).await.exits(70).says(["says: not ready"]);
}

#[tokio::test]
async fn the_watchdog_hears_nothing_while_the_journal_hangs() {
    let setup = Setup::new().config("bounds.commit-timeout", 3_000).env("WATCHDOG_USEC", PERIOD.to_string());
    let (manager, setup) = Manager::of(setup);
    let (world, shim) = World::over_shim(setup).await;
    manager.until("WATCHDOG=1").await;
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    let _waits = world.begin_send(&world.number());
    let silent = async || {
        manager.received();
        tokio::time::sleep(Duration::from_secs(1)).await;
        manager.received().is_empty()
    };
    until("a second without a message", silent, |silent| *silent).await;

    shim.end();
    manager.until("WATCHDOG=1").await;
}

/// The service manager's end of its socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The setup's program has this manager.
    fn of(setup: Setup) -> (Self, Setup) {
        let path = setup.home().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a datagram socket");
        let setup = setup.env("NOTIFY_SOCKET", path.to_str().expect("a path in UTF-8"));
        (Self(socket), setup)
    }

    /// Waits for a message with a line that begins like this.
    async fn until(&self, line: &str) {
        let arrived = async || self.received().iter().any(|found| found.starts_with(line));
        until(line, arrived, |arrived| *arrived).await;
    }

    /// The lines of the messages until now.
    fn received(&self) -> Vec<String> {
        let (mut received, mut bytes) = (Vec::new(), vec![0; 4096]);
        while let Ok(length) = self.0.try_recv(&mut bytes) {
            received.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned));
        }
        received
    }
}
