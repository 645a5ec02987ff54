//! Further resources of a server: its output, file descriptors, threads, and a disk that fills while it runs.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use hyper::Method;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::belief::Subject;
use crate::support::prelude::*;

#[tokio::test]
async fn an_output_that_takes_nothing_neither_stops_nor_slows_the_server() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"));
    let piped = Stdio::piped;
    for (what, out, err) in
        [("full", full(), full()), ("closed", piped(), piped()), ("not read", piped(), piped())]
    {
        let (home, address) = (tempfile::tempdir().expect("a directory"), unused_address());
        let mut server = Command::new(env!("CARGO_BIN_EXE_onceward"))
            .args(["--listen", &address.to_string(), "--log-level", "debug"])
            .current_dir(home.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("a server");
        let unread = Some((server.stdout.take(), server.stderr.take())).filter(|_| what == "not read");
        let client = client_at(address).await;
        for turn in 0..300 {
            assert_eq!(client.send(&format!("+1415555{turn:04}")).await.status(), 200, "{what}");
        }
        // A pipe holds 64 KiB and the server keeps 8,192 lines; each request writes one. The others fail at once.
        for _ in 0..if unread.is_some() { 10_000 } else { 100 } {
            client.get("/readyz").await.expects_status(200);
        }
        drop(unread);
        rustix::process::kill_process(Pid::from_child(&server), rustix::process::Signal::TERM)
            .expect("a signal");
        assert_eq!(server.wait().expect("its end").code(), Some(0), "{what}");
    }
}

#[tokio::test]
async fn a_closed_output_does_not_make_the_log_go_into_the_data() {
    let (setup, address) = (Setup::new(), unused_address());
    let mut server = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" --listen \"$1\" --log-level debug --data-dir data >&- 2>&-"])
        .args([env!("CARGO_BIN_EXE_onceward"), &address.to_string()])
        .current_dir(setup.home())
        .env_clear()
        .stdin(Stdio::null())
        .spawn()
        .expect("a server");
    let client = client_at(address).await;
    assert_eq!(client.send("+14155550123").await.status(), 200);
    server.kill().expect("it runs");
    server.wait().expect("its end");
    assert_eq!(setup.start().await.client.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_server_without_file_descriptors_serves_open_connections_and_recovers() {
    let world = World::with([("log-level", "info".into())]).await;
    let mut guessed = Subject::with_code(&world).await;
    world.connect_to_have(2).await;
    let connected = world.server.client.clone();
    assert_eq!(connected.get("/healthz").await.status(), 200);
    world.server.limit_files(Some(world.server.first_free_file()));
    guessed.submits_a_wrong_code(&connected).await;
    assert_eq!(guessed.submits_a_wrong_code(&connected).await.status(), 401, "the journal is open already");
    // The server accepts no new connection, and logs that once.
    let _waits = world.connection().await;
    world.server.logs_times(1, "ERROR", "connections not accepted").await;
    world.server.limit_files(None);
    let place = || async {
        let mut accepted = world.connection().await;
        accepted.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.is_ok() && accepted.read_u8().await.is_ok()
    };
    until("a place", place, |got| *got).await;
    world.server.logs_times(1, "ERROR", "connections not accepted").await;
    assert_eq!(world.get("/readyz").await.status(), 200);
    guessed.clone().still_holds(&world).await;
    let world = world.restart_after_kill().await;
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &code).await.status(), 200);
}

#[tokio::test]
async fn without_threads_the_journal_goes_on_and_later_all_is_well() {
    let (world, shim) = World::over_shim(Setup::new()).await;
    shim.begin(&Trouble::of(&[Call::Thread], Errno::AGAIN));
    let mut guessed = Subject::with_code(&world).await;
    for _ in 0..2 {
        assert_eq!(guessed.submits_a_wrong_code(&world).await.status(), 401);
    }
    shim.end();
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &wrong(&code)).await.status(), 401);
    assert_eq!(world.get("/readyz").await.status(), 200);
    let output = world.server.output().text();
    assert!(!output.contains("panicked"), "{output}");
    let world = world.restart_after_kill().await;
    guessed.still_holds(&world).await;
}

/// A client of a server whose output the test does not read.
async fn client_at(address: SocketAddr) -> Client {
    let client = Client::new(address);
    let status = async || Some(client.try_request_with(Method::GET, "/readyz", &[], "").await.ok()?.status());
    until("readiness", status, |status| *status == Some(200)).await;
    client
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
