//! The control socket, with any bytes as a question.

use std::cell::RefCell;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use onceward::app::control::{ControlDeps, ControlRequest, ControlSocket, SendLine};
use onceward::attempts::{AttemptLog, Attempts};
use onceward::config::AttemptLogSettings;
use onceward::delivery::{Attempt, SendStatus};
use onceward::domain::{AttemptLogKey, Channel, GatewayName, PhoneNumber, ServiceId, Timestamp};
use onceward::node::AccountFile;
use onceward::registry::RegistrySettings;
use onceward::shard::{Command, Decision, Durability, Refusal, ReplyContext, Subject, Transaction};
use onceward::store::MemoryStore;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::support::registry::{registry, shards};

const NOW: Timestamp = Timestamp::from_millis(10_000);

/// Recorded sends.
const SENDS: u64 = 3;

/// A question, as a client's bytes.
pub fn control(input: &[u8]) {
    thread_local! {
        static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    }
    SERVER.with_borrow_mut(|server| answered(server.get_or_insert_with(Server::start), input));
}

fn answered(server: &Server, input: &[u8]) {
    let answer = server.runtime.block_on(server.says(input));
    let lines: Vec<Value> = answer
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let (last, lines) = lines.split_last().expect("an answer");
    assert!(answer.ends_with('\n'));
    let sends = lines.iter().filter(|line| line["line"]["attempt"].is_string());
    assert!(sends.clone().count() as u64 <= SENDS);
    for line in sends {
        let line: SendLine = serde_json::from_value(line["line"].clone()).expect("a send");
        assert!(line.to.starts_with("+1415555010"));
    }
    let question = input.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let question = &question[..question.len().min(4096)];
    let asked = serde_json::from_slice::<ControlRequest>(question);
    if matches!(&asked, Ok(ControlRequest::Keys(_))) {
        // The question creates or revokes keys; other tests check the answers.
        assert!(last == "end" || last["error"].is_string(), "{answer}");
        return;
    }
    if matches!(&asked, Ok(ControlRequest::Tracker(request)) if request.service.is_some() || request.totals) {
        // The service may exist, and totals have a line for each value.
        return;
    }
    let fits = matches!(&asked, Ok(ControlRequest::Tracker(request)) if request.query(|_| Ok(ServiceId::DEFAULT)).is_ok());
    if fits {
        assert_eq!(last, "end");
        let Ok(ControlRequest::Tracker(request)) = asked else { return };
        assert!(lines.len() <= request.limit);
    } else {
        assert!(last["error"].is_string() && lines.is_empty(), "{answer}");
    }
}

struct Server {
    runtime: Runtime,
    home: TempDir,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let home = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let socket = ControlSocket::bind(home.path()).expect("a socket");
            let store = Arc::new(MemoryStore::new());
            let registry = registry(shards(&store, NOW).await, RegistrySettings::default()).await;
            let account = AccountFile::of(home.path());
            let deps = ControlDeps { attempts: attempts().await, store, registry, account, verifying: None };
            tokio::spawn(socket.serve(deps, pending()));
        });
        Self { runtime, home }
    }

    async fn says(&self, input: &[u8]) -> String {
        let answer = async {
            let mut stream =
                UnixStream::connect(self.home.path().join("control.sock")).await.expect("connect");
            // The server does not read too long a question to its end.
            let _ = stream.write_all(input).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).expect("text")
        };
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("no hang")
    }
}

async fn attempts() -> Attempts {
    let shards = shards(&Arc::new(MemoryStore::new()), NOW).await;
    let attempts = Attempts::new(&shards, AttemptLogSettings::default());
    (1..=SENDS).for_each(|id| shards.submit(Box::new(Keep(id))));
    attempts
}

/// Records one message that a gateway accepted.
struct Keep(u64);

impl Keep {
    const fn key(&self) -> AttemptLogKey {
        AttemptLogKey { service: ServiceId::DEFAULT, verification: self.0 }
    }
}

impl Command for Keep {
    fn subject(&self) -> Subject {
        Subject { slot: self.key().slot(), id: self.key().id() }
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let at = Timestamp::from_millis(self.0 * 1_000);
        let number = PhoneNumber::from_u64(14_155_550_100 + self.0).expect("a number");
        let row = Attempt {
            message_id: Some("SM1".into()),
            ..Attempt::new(0, Channel::Sms, GatewayName::Simulator, SendStatus::Sent, at)
        };
        let log =
            AttemptLog { rows: vec![row], ..AttemptLog::new(number, at, AttemptLogSettings::default()) };
        view.put(self.key().id(), Some(&log), Durability::Lazy);
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {}

    fn refuse(self: Box<Self>, _: Refusal) {}
}
