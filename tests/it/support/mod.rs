//! The vocabulary of the tests: a server, a Twilio double, a client, and the expected answers.

mod client;
mod double;
#[path = "../../../crates/cluster/src/tests/etcd_process.rs"]
mod etcd_process;
#[path = "../../../crates/cluster/src/tests/link.rs"]
#[expect(dead_code, reason = "the tests of the store of a cluster use the rest")]
mod link;
mod load;
mod output;
mod pages;
mod private;
mod proxy;
mod response;
mod server;
mod services;
mod shim;
mod tls;
mod twilio;
mod v2;
mod world;

pub use client::Client;
pub use double::{Reply, basic};
pub use etcd_process::{Etcd, loopback, unused_address};
pub use link::Link;
pub use load::Load;
pub use output::Output;
pub use pages::*;
pub use private::Private;
pub use proxy::{Proxy, proxy_file};
pub use response::*;
pub use server::*;
pub use services::*;
pub use shim::*;
pub use tls::*;
pub use twilio::*;
pub use v2::*;
pub use world::*;

/// What nearly every test needs: this vocabulary, and JSON.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde_json::{Value, json};

    pub use super::*;
}

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

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

/// Exports the setup's data directory into a file in its home, and returns the lines.
pub async fn export(setup: &Setup, name: &str) -> Vec<String> {
    setup.command(["export", "--out", name]).await.exits(0);
    lines_of(&setup.home().join(name))
}

pub fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("an export");
    text.lines().map(str::to_owned).collect()
}

/// The lines without the first, which contains a time, and the last, whose sum depends on the first.
pub fn records(lines: &[String]) -> &[String] {
    &lines[1..lines.len() - 1]
}

/// Imports a file from the setup's home into another directory there, with the setup's key.
pub async fn import(setup: &Setup, name: &str, into: &str) -> Finished {
    let directory = setup.home().join(into);
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(setup.data_dir().join("server.key"), directory.join("server.key")).expect("the key");
    setup.command(["import", name, "--data-dir", into]).await
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
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
