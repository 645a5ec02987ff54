//! Further resources of a server: its output, file descriptors and threads.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::belief::Subject;
use crate::support::prelude::*;

#[tokio::test]
async fn an_output_that_takes_nothing_neither_stops_nor_slows_the_server() {
    // A full disk, a pipe without a reader, and no files, whose numbers the files of the data must not get.
    for (output, signal, code) in [
        (">/dev/full 2>&1", Signal::TERM, Some(0)),
        ("", Signal::TERM, Some(0)),
        (">&- 2>&-", Signal::KILL, None),
    ] {
        let (setup, address) = (Setup::new(), unused_address());
        let mut server = Command::new("/bin/sh")
            .args(["-c", &format!("exec \"$0\" --listen \"$1\" --log-level debug --data-dir data {output}")])
            .args([env!("CARGO_BIN_EXE_onceward"), &address.to_string()])
            .current_dir(setup.home())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server");
        drop((server.stdout.take(), server.stderr.take()));
        let client = Client::new(address);
        let is_ready = async || client.try_get("/readyz").await.is_ok_and(|answer| answer.status() == 200);
        until("readiness", is_ready, |is_ready| *is_ready).await;
        for turn in 0..300 {
            assert_eq!(client.send(&format!("+1415555{turn:04}")).await.status(), 200, "{output}");
        }
        kill_process(Pid::from_child(&server), signal).expect("a signal");
        assert_eq!(server.wait().expect("its end").code(), code, "{output}");
        assert_eq!(setup.start().await.client.get("/readyz").await.status(), 200, "no log is in the data");
    }
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
    let _waits = world.connection().await;
    world.server.logs("ERROR", "connections not accepted").await;
    world.server.limit_files(None);
    let place = || async {
        let mut accepted = world.connection().await;
        accepted.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.is_ok() && accepted.read_u8().await.is_ok()
    };
    until("a place", place, |got| *got).await;
    assert_eq!(world.get("/readyz").await.status(), 200);
    guessed.clone().still_holds(&world).await;
    let world = world.restart_after_kill().await;
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &code).await.status(), 200);
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
