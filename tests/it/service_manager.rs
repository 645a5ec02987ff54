//! Messages to the service manager, such as systemd: its socket is a datagram socket of the test.

use rustix::process::Signal;
use tokio::net::UnixDatagram;

use crate::storage_trouble::refusals::world_over_shim;
use crate::storage_trouble::shim::{Call, Shim, Trouble};
use crate::support::{Client, Setup, World, soon, until};

/// The watchdog's period in microseconds.
const PERIOD: u64 = 200_000;

#[tokio::test]
async fn readiness_is_announced_when_requests_are_served_and_not_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let (manager, setup) = Manager::of(Setup::new());
    let shim = Shim::over(&setup.data_dir());
    let setup = shim.under(setup).args(["--listen", &address.to_string()]);
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    let mut server = setup.launch();
    server.client = Client::new(address);
    let (mut early, starting) = manager.until("STATUS=not ready: the store is being loaded").await;
    assert!(starting.contains(&"EXTEND_TIMEOUT_USEC=60000000".to_owned()), "{starting:?}");
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
    world.twilio.release();
    assert_eq!(sending.await.expect("an answer").status(), 200);
    assert_eq!(world.server.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_reload_is_announced_with_its_beginning_and_its_end() {
    let (manager, setup) = Manager::of(Setup::new());
    let server = setup.start().await;
    manager.until("READY=1").await;
    server.signal(Signal::HUP);
    let (_, reloading) = manager.until("RELOADING=1").await;
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    manager.until("READY=1").await;
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
    let setup = Setup::new().config("commit-timeout", "500ms").env("WATCHDOG_USEC", PERIOD.to_string());
    let (manager, setup) = Manager::of(setup);
    let (world, shim) = world_over_shim(setup).await;
    manager.until("WATCHDOG=1").await;
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    assert_eq!(world.send(&world.number()).await.status(), 503);
    // One message may have been on its way when the journal began to hang.
    manager.received();
    // Health reports a write after five seconds: 25 periods.
    let (meanwhile, _) = manager.until("STATUS=not ready: the disk has not finished a write for").await;
    assert!(!meanwhile.contains(&"WATCHDOG=1".to_owned()), "{meanwhile:?}");

    shim.end();
    manager.until("WATCHDOG=1").await;
}

/// The manager's end of the socket.
pub struct Manager(UnixDatagram);

impl Manager {
    /// The setup's program has this manager.
    pub fn of(setup: Setup) -> (Self, Setup) {
        let path = setup.home().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a datagram socket");
        let setup = setup.env("NOTIFY_SOCKET", path.to_str().expect("a path in UTF-8"));
        (Self(socket), setup)
    }

    /// Waits for a message with a line that begins like this. Returns the lines before that message, and its own.
    pub async fn until(&self, line: &str) -> (Vec<String>, Vec<String>) {
        let mut before = Vec::new();
        soon(line, async {
            loop {
                let mut bytes = vec![0; 4096];
                let length = self.0.recv(&mut bytes).await.expect("a message");
                let message = lines(&bytes[..length]);
                if message.iter().any(|found| found.starts_with(line)) {
                    return (before, message);
                }
                before.extend(message);
            }
        })
        .await
    }

    /// The lines that have arrived.
    fn received(&self) -> Vec<String> {
        let (mut received, mut bytes) = (Vec::new(), vec![0; 4096]);
        while let Ok(length) = self.0.try_recv(&mut bytes) {
            received.extend(lines(&bytes[..length]));
        }
        received
    }
}

fn lines(message: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(message).lines().map(str::to_owned).collect()
}
