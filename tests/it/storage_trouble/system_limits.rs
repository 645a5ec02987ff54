//! Further resources of a server: its output, file descriptors, threads, and a disk that fills while it runs.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::driven::{Driven, Patience, contents_of};
use super::mount::{SmallDisk, may_mount};
use super::refusals::{said, told, world_over_shim};
use super::shim::{Call, Shim, Trouble};
use super::unavailable;
use crate::health::not_ready;
use crate::support::{Client, Says, Setup, World, until, wrong};

#[tokio::test]
async fn a_server_without_its_data_directory_acknowledges_nothing_any_more() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    fs::remove_dir_all(world.setup.data_dir()).expect("removed");
    // The journal looks for its file once a second.
    let send = || async { world.send(&world.number()).await };
    until("the loss to be noticed", send, |answer| answer.status() == 503).await;
    for _ in 0..3 {
        unavailable(&world.verify(&number, &wrong(&code)).await);
        unavailable(&world.verify(&number, &code).await);
        let unsent = world.number();
        unavailable(&world.send(&unsent).await);
        assert!(world.twilio.received_for(&unsent).is_empty());
    }
    let readiness = world.get("/readyz").await;
    not_ready(&readiness);
}

#[tokio::test]
async fn an_output_that_takes_nothing_neither_stops_nor_slows_the_server() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"));
    for (what, out, err) in [("full", full(), full()), ("not read", Stdio::piped(), Stdio::piped())] {
        let home = tempfile::tempdir().expect("a directory");
        let mut server = Command::new(env!("CARGO_BIN_EXE_onceward"))
            .args(["--listen", "127.0.0.1:0", "--log-level", "debug"])
            .current_dir(home.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("a server");
        // A pipe without a reader.
        drop((server.stdout.take(), server.stderr.take()));
        let client = Client::new(listening(&server).await);
        for turn in 0..300 {
            assert_eq!(client.send(&format!("+1415555{turn:04}")).await.status(), 200, "{what}");
        }
        assert_eq!(client.get("/readyz").await.status(), 200, "{what}");
        rustix::process::kill_process(Pid::from_child(&server), rustix::process::Signal::TERM)
            .expect("a signal");
        assert_eq!(server.wait().expect("its end").code(), Some(0), "{what}");
    }
}

#[tokio::test]
async fn a_closed_output_does_not_make_the_log_go_into_the_data() {
    let setup = Setup::new();
    let program = env!("CARGO_BIN_EXE_onceward");
    let mut server = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" --listen 127.0.0.1:0 --log-level debug --data-dir data >&- 2>&-", program])
        .current_dir(setup.home())
        .env_clear()
        .stdin(Stdio::null())
        .spawn()
        .expect("a server");
    let client = Client::new(listening(&server).await);
    assert_eq!(client.send("+14155550123").await.status(), 200);
    server.kill().expect("it runs");
    server.wait().expect("its end");
    assert_eq!(setup.start().await.client.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_server_without_file_descriptors_serves_open_connections_and_recovers() {
    let world = World::with([("log-level", "info".into())]).await;
    let mut guessed = told(&world).await;
    world.connect_to_have(2).await;
    let connected = world.server.client.clone();
    assert_eq!(connected.get("/healthz").await.status(), 200);
    world.server.limit_files(Some(world.server.first_free_file()));
    guessed.guess(&connected).await;
    assert_eq!(guessed.guess(&connected).await.status(), 401, "the journal is open already");
    // The server accepts no new connection, and logs that once.
    let _waits = world.connection().await;
    let refused = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|m| m.starts_with("connections not accepted"))
    };
    crate::support::soon("the line", world.server.output().event(refused)).await;
    world.server.limit_files(None);
    let place = || async {
        let mut accepted = world.connection().await;
        accepted.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.is_ok() && accepted.read_u8().await.is_ok()
    };
    until("a place", place, |got| *got).await;
    said(&world, "connections not accepted", "ERROR", 1).await;
    assert_eq!(world.get("/readyz").await.status(), 200);
    guessed.clone().still_holds(&world, true).await;
    let world = world.restart_after_kill().await;
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &code).await.status(), 200);
}

#[tokio::test]
async fn without_threads_the_journal_goes_on_and_later_all_is_well() {
    let (world, shim) = world_over_shim(Setup::new()).await;
    shim.begin(&Trouble::of(&[Call::Thread], Errno::AGAIN));
    let mut guessed = told(&world).await;
    for _ in 0..2 {
        assert_eq!(guessed.guess(&world).await.status(), 401);
    }
    shim.end();
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &wrong(&code)).await.status(), 401);
    assert_eq!(world.get("/readyz").await.status(), 200);
    let output = world.server.output().text();
    assert!(!output.contains("panicked"), "{output}");
    let world = world.restart_after_kill().await;
    guessed.still_holds(&world, false).await;
}

#[test]
fn without_threads_the_journal_goes_on_and_a_checkpoint_comes_later() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("data");
    let shim = Shim::over(&directory);
    let mut store = Driven::open(&directory, Some(&shim)).expect("a store");
    shim.begin(&Trouble::of(&[Call::Thread], Errno::AGAIN));
    let (began, mut written) = (Patience::begins(), 0);
    while shim.failed() < 5 || written < 300 {
        assert_eq!(store.said(&format!("put {written} text")), "durable");
        written += 1;
        assert!(began.lasts(), "no checkpoint was tried");
    }
    let first = directory.join("journal/0000000001.seg");
    assert!(first.exists(), "a checkpoint without a thread");
    shim.end();
    while first.exists() {
        assert_eq!(store.said(&format!("put {written} text")), "durable");
        written += 1;
        assert!(began.lasts(), "no checkpoint");
    }
    while store.said("health") != "well" {
        assert!(began.lasts(), "not well again: {}", store.said("health"));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.said("close"), "closed");
    drop(store);
    let found = contents_of(&directory).expect("a good start");
    assert_eq!(found.len(), usize::try_from(written).expect("a few"));
}

#[test]
fn a_store_on_a_full_disk_uses_its_reserve_and_recovers_without_a_restart() {
    if !may_mount() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("data");
    let disk = SmallDisk::of_kib(4096, &directory);
    for turn in 0..10_u64 {
        let mut store = Driven::open(&directory, None).expect("a store");
        let (began, text, mut durable) = (Patience::begins(), "x".repeat(500), Vec::new());
        let refused = loop {
            disk.fill();
            let subject = turn * 100_000 + durable.len() as u64;
            match store.said(&format!("put {subject} {text}")) {
                answer if answer == "durable" => durable.push(subject),
                answer => break answer,
            }
            assert!(began.lasts(), "never full");
        };
        assert!(refused.contains("No space left"), "{refused}");
        // A checkpoint may have freed a segment meanwhile.
        let health = store.said("health");
        assert!(health == "well" || health.contains("No space left"), "{health}");
        if turn % 3 == 0 {
            drop(store);
            disk.resize_to_kib(4096 * (turn + 2));
        } else {
            disk.resize_to_kib(4096 * (turn + 2));
            while store.said("health") != "well" {
                assert!(began.lasts(), "not well again: {}", store.said("health"));
                std::thread::sleep(Duration::from_millis(10));
            }
            let subject = turn * 100_000 + durable.len() as u64;
            assert_eq!(store.said(&format!("put {subject} after")), "durable");
            durable.push(subject);
            drop(store);
        }
        let found = contents_of(&directory).unwrap_or_else(|e| panic!("turn {turn}: {e}"));
        assert!(durable.iter().all(|subject| found.contains_key(subject)), "turn {turn}");
    }
}

#[tokio::test]
async fn a_server_on_a_full_disk_goes_on_with_its_reserve_and_says_so() {
    if !may_mount() {
        return;
    }
    let setup = Setup::new().config("log-level", "info");
    let disk = SmallDisk::of_kib(140 * 1024, &setup.data_dir());
    let world = World::of(setup).await;
    let mut all = Vec::new();
    for _ in 0..50 {
        disk.fill();
        let mut one = told(&world).await;
        assert_eq!(one.guess(&world).await.status(), 401);
        all.push(one);
        assert_eq!(world.get("/readyz").await.status(), 200);
    }
    // The last checkpoint has no room, but the journal has everything.
    world.server.signal(rustix::process::Signal::TERM);
    let World { setup, server, .. } = world;
    server.ended().await.exits(1).says(["No space left"]);
    disk.resize_to_kib(300 * 1024);
    let server = setup.start().await;
    for one in &all {
        one.still_holds(&server.client, false).await;
    }
}

/// The server's address, found without its output.
async fn listening(server: &Child) -> SocketAddr {
    let listens = || async { port_of(server.id()) };
    let port = until("listening", listens, Option::is_some).await.expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let client = Client::new(address);
    until("readiness", || client.get("/readyz"), |answer| answer.status() == 200).await;
    address
}

fn port_of(process: u32) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.to_str()?.to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = sockets.contains(&format!("socket:[{}]", fields.get(9)?));
        let port = fields.get(1)?.split_once(':')?.1;
        // 0A means listening.
        (ours && fields.get(3) == Some(&"0A")).then(|| u16::from_str_radix(port, 16).ok())?
    })
}

impl crate::support::Server {
    /// The number of the next file that it opens.
    fn first_free_file(&self) -> u64 {
        let files = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        (0..1024)
            .find(|number| fs::symlink_metadata(format!("{files}/{number}")).is_err())
            .unwrap_or_default()
    }

    /// Forbids it to open files with this number or a higher one.
    fn limit_files(&self, from: Option<u64>) {
        let limit = Rlimit { current: from.or(Some(1024)), maximum: Some(4096) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("a limit of open files");
    }
}
