use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::*;
use crate::app::control::{ControlDeps, ControlSocket};
use crate::attempts::tests::{START, World as Attempts, key, sent};
use crate::clock::SystemClock;
use crate::config::{self, AttemptLogSettings, Sources, StorageSettings};
use crate::domain::Timestamp;
use crate::engine::key_fingerprint;
use crate::node::{AccountFile, load_or_create};
use crate::store::{EmbeddedStore, OpenOptions, Store};

const NUMBER: &str = "+14155550101";

#[tokio::test]
async fn without_a_server_the_store_is_read_and_nothing_in_it_changes() {
    let world = World::new();
    world.fill().await;
    // A list needs no key.
    std::fs::remove_file(world.settings.data_dir.join("server.key")).expect("removed");
    for _ in 0..2 {
        let answer = world.asks(false).await;
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
        let rows: Vec<&str> = answer.out.lines().collect();
        assert_eq!(rows.len(), 2, "{}", answer.out);
        let headings: Vec<&str> = rows[0].split_whitespace().collect();
        assert_eq!(headings, HEADINGS);
        let cells: Vec<&str> = rows[1].split_whitespace().collect();
        let expected = [
            "2023-11-14T22:13:20.000Z",
            "sms",
            NUMBER,
            "Http",
            "1",
            "sent",
            "new",
            "0",
            "-",
            "-",
            "-",
            "SM?1",
        ];
        assert_eq!(cells, expected);
    }
    let json = world.asks(true).await;
    let line: SendLine = serde_json::from_str(&json.out).expect("one object a line");
    assert_eq!((line.to.as_str(), line.message_id.as_deref()), (NUMBER, Some("SM\u{1b}1")));
}

#[tokio::test]
async fn a_server_that_runs_is_asked() {
    let world = World::new();
    let attempts = Attempts::over(world.open(), AttemptLogSettings::default()).await;
    let unanswered = world.asks(false).await;
    assert_eq!((unanswered.code, unanswered.out.as_str()), (70, ""));
    assert!(unanswered.err.contains("does not answer on its control socket"), "{}", unanswered.err);
    let (stop, stopped) = oneshot::channel::<()>();
    let socket = ControlSocket::bind(&world.settings.data_dir).expect("a socket");
    let store = crate::store::MemoryStore::new();
    let registry = crate::registry::tests::world::World::over(&store).open().await;
    let deps = ControlDeps {
        attempts: attempts.attempts.clone(),
        store: Arc::new(store),
        registry,
        account: AccountFile::of(&world.settings.data_dir),
        verifying: None,
    };
    let serving = tokio::spawn(socket.serve(deps, async {
        let _ = stopped.await;
    }));
    let none = world.asks(false).await;
    assert_eq!((none.code, none.out.as_str()), (0, "no sends found\n"), "{}", none.err);
    assert_eq!(world.asks(true).await.out, "");
    attempts.keeps(key(1), sent(1, START)).await;
    let answer = world.asks(true).await;
    assert!(answer.out.contains(NUMBER), "{} {}", answer.out, answer.err);
    let _ = stop.send(());
    serving.await.expect("an end");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why() {
    let world = World::new();
    world.fill().await;
    std::fs::write(world.settings.data_dir.join("FORMAT"), "something else").expect("a file");
    let answer = world.asks(false).await;
    assert_eq!(answer.code, 70);
    assert!(answer.err.contains("FORMAT is damaged"), "{}", answer.err);
}

/// A data directory and the settings that name it.
struct World {
    settings: StorageSettings,
    _home: TempDir,
}

impl World {
    fn new() -> Self {
        let home = TempDir::new().expect("a directory");
        let sources = Sources {
            overrides: config::Overrides::default(),
            config_file: None,
            working_dir: home.path().to_owned(),
            environment: std::collections::BTreeMap::new(),
            parallelism: 1,
        };
        let mut settings = config::load_storage(&sources).expect("settings");
        settings.data_dir = home.path().join("data");
        Self { settings, _home: home }
    }

    fn open(&self) -> Arc<dyn Store> {
        let key = load_or_create(&self.settings.data_dir, None).expect("a key");
        let data_dir: &PathBuf = &self.settings.data_dir;
        let clock = Arc::new(SystemClock::start());
        let options = OpenOptions::new(data_dir, key_fingerprint(&key), clock);
        Arc::new(EmbeddedStore::open(&options).expect("a store"))
    }

    /// Fills the store as a server that sent one message and stopped.
    async fn fill(&self) {
        let store = self.open();
        let attempts = Attempts::over(Arc::clone(&store), AttemptLogSettings::default()).await;
        let log = AttemptLog { keep_until: Timestamp::from_millis(u64::MAX), ..sent(1, START) };
        attempts.keeps(key(1), log).await;
        store.close().await.expect("closed");
        attempts.shards.stop();
    }

    async fn asks(&self, json: bool) -> CommandOutput {
        let settings = self.settings.clone();
        let request = TrackerRequest {
            number: Some(NUMBER.to_owned()),
            service: None,
            status: None,
            since: None,
            until: None,
            limit: 10,
            totals: false,
        };
        let answered = spawn_blocking(move || run(&settings, &request, json)).await.expect("an end");
        answered.unwrap_or_else(|error| error.answer())
    }
}
