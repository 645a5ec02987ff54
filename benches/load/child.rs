//! A server under measurement, as a child process; a measurement that cannot go on fails.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use onceward::bench::child;
use onceward::bench::process::Processes;

/// A running server. Killed when dropped.
pub struct Child {
    child: child::Child,
    process: Processes,
}

impl Child {
    /// Starts a server and waits until it listens.
    pub async fn start(command: Command) -> Self {
        let child = child::Child::start("onceward", command).await.unwrap_or_else(|error| panic!("{error}"));
        let process = Processes::one(child.id());
        Self { child, process }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.child.address()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes that it has written to its log so far.
    pub fn logged(&self) -> u64 {
        self.child.logged()
    }

    /// CPU time that it has used so far, in user mode and in the kernel, all threads (proc(5)).
    pub fn cpu(&self) -> Duration {
        self.process.cpu().expect("the server lives")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A measurement of a server in trouble measures nothing.
        for line in self.child.troubles() {
            report_trouble(&line);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program that talks to a person")]
fn report_trouble(line: &str) {
    eprintln!("the server said: {line}");
}
