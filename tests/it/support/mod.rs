//! The vocabulary of the tests: a server, a Twilio double, a client, and the expected answers.

mod captcha;
mod client;
mod collector;
mod double;
#[path = "../../../crates/cluster/src/tests/etcd_process.rs"]
mod etcd_process;
mod export;
#[path = "../../../crates/cluster/src/tests/link.rs"]
#[expect(dead_code, reason = "the tests of the store of a cluster use the rest")]
mod link;
mod load;
mod manager;
mod numbers;
mod output;
mod pages;
mod private;
mod proxy;
mod received;
mod receiver;
mod reply;
mod response;
mod server;
mod shim;
mod tls;
mod twilio;
mod v2;
mod vonage;
mod world;

pub use captcha::*;
pub use client::Client;
pub use collector::*;
pub use etcd_process::{Etcd, loopback, unused_address};
pub use export::*;
pub use link::Link;
pub use load::Load;
pub use manager::Manager;
pub use numbers::*;
pub use output::Output;
pub use pages::*;
pub use private::Private;
pub use proxy::{Proxy, proxy_file};
pub use received::{basic, longest_digits};
pub use receiver::Receiver;
pub use reply::Reply;
pub use response::*;
pub use server::*;
pub use shim::*;
pub use tls::*;
pub use twilio::*;
pub use v2::*;
pub use vonage::*;
pub use world::*;

/// What nearly every test needs: this vocabulary, and JSON.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde_json::{Value, json};

    pub use super::documented::*;
    pub use super::*;
}

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

/// The longest time that a test waits for a required event. Only a broken server needs it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A number from a variable of the environment, such as a seed.
pub fn from_environment<N: FromStr>(name: &str, otherwise: N) -> N {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"));
    std::env::var(name).map_or(otherwise, number)
}

/// Waits for `what` to happen, or fails the test.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: did not happen within {PATIENCE:?}"))
}

/// Asks again and again until an answer satisfies the condition. For outcomes that need time, such as the end of a
/// lockout.
pub async fn until<T, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    satisfied: impl Fn(&T) -> bool,
) -> T {
    soon(what, async {
        loop {
            let answer = ask().await;
            if satisfied(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// What a person reads: a page, or what a program printed.
pub trait Says {
    fn said(&self) -> String;

    /// Fails the test unless the text has all these parts.
    #[track_caller]
    fn says<T: AsRef<str>>(&self, parts: impl IntoIterator<Item = T>) {
        let text = self.said();
        for part in parts {
            assert!(text.contains(part.as_ref()), "no {:?} in:\n{text}", part.as_ref());
        }
    }
}

impl Says for str {
    fn said(&self) -> String {
        self.to_owned()
    }
}

impl Says for HttpResponse {
    fn said(&self) -> String {
        self.text()
    }
}

impl Says for Finished {
    fn said(&self) -> String {
        self.output.clone()
    }
}

/// Every file below a directory with its bytes, except sockets.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

pub fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// A file without the space that is reserved at its end: most of a journal, and slow to search.
pub fn used(content: &[u8]) -> &[u8] {
    const BLOCK: usize = 4096;
    let is_used = |block: &[u8]| block != &[0; BLOCK][..block.len()];
    let used = content.chunks(BLOCK).rposition(is_used).map_or(0, |last| (last + 1) * BLOCK);
    &content[..used.min(content.len())]
}
