//! A server under measurement, as a child process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Only a broken server takes that long to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server. Killed when dropped.
pub struct Child {
    process: std::process::Child,
    address: SocketAddr,
    logged: Arc<AtomicU64>,
}

impl Child {
    /// Starts a server and waits for the line on standard error, one JSON object, whose message is
    /// `listening` and which has a field `url`.
    pub fn start(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start a server");
        let output = BufReader::new(process.stderr.take().expect("standard error is a pipe"));
        let (sender, receiver) = mpsc::channel();
        let logged = Arc::new(AtomicU64::new(0));
        let counter = logged.clone();
        thread::spawn(move || {
            // Read to the end, or the server would wait for somebody to take its words.
            for line in output.lines().map_while(Result::ok) {
                counter.fetch_add(line.len() as u64 + 1, Ordering::Relaxed);
                match listening_at(&line) {
                    Some(address) => drop(sender.send(address)),
                    None if is_trouble(&line) => report_trouble(&line),
                    None => {}
                }
            }
        });
        let address = receiver.recv_timeout(PATIENCE).expect("a server that listens");
        Self { process, address, logged }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes that it has written to its log so far.
    pub fn logged(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// CPU time that it has used so far, in user mode and in the kernel, all threads (proc(5)).
    pub fn cpu(&self) -> Duration {
        /// Places of `utime` and `stime` after the name in brackets, which may contain anything.
        const PLACES: std::ops::RangeInclusive<usize> = 11..=12;
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).expect("the server lives");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[PLACES].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listening_at(line: &str) -> Option<SocketAddr> {
    let event: Value = serde_json::from_str(line).ok()?;
    let url = (event["message"] == "listening").then(|| event["url"].as_str())??;
    url.strip_prefix("http://")?.parse().ok()
}

/// A measurement of a server in trouble measures nothing. Refusals are counted by whoever is refused.
fn is_trouble(line: &str) -> bool {
    serde_json::from_str::<Value>(line).map_or(true, |event| {
        matches!(event["level"].as_str(), Some("ERROR" | "WARN"))
            && event["message"] != "requests were refused"
    })
}

#[expect(clippy::print_stderr, reason = "a program that talks to a person")]
fn report_trouble(line: &str) {
    eprintln!("a server says: {line}");
}
