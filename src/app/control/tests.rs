use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;
use crate::attempts::tests::{World as Attempts, key, sent};
use crate::config::AttemptLogSettings;
use crate::domain::{GatewayName, Timestamp};
use crate::node::AccountFile;
use crate::registry::Registry;
use crate::registry::tests::world::World;
use crate::store::MemoryStore;

#[tokio::test]
async fn a_question_is_answered_line_by_line() {
    let server = Server::start().await;
    server.sent(1).await;
    server.sent(2).await;
    let lines = server.asks(everything()).await.expect("an answer");
    let to: Vec<_> = lines.iter().map(|line| line["to"].as_str().unwrap_or_default()).collect();
    assert_eq!(to, ["+14155550102", "+14155550101"]);
    let line: SendLine = serde_json::from_value(lines[1].clone()).expect("a send");
    let expected = SendLine {
        time: "1970-01-01T00:00:01.000Z".into(),
        channel: "sms".into(),
        to: "+14155550101".into(),
        gateway: "Simulator".into(),
        priority: 0,
        send_status: "sent".into(),
        verify_status: "new".into(),
        verified_at: None,
        retry_count: 0,
        max_retries_reached: false,
        receipt_status: None,
        message_id: Some("SM1".into()),
        error_code: None,
        attempt: "0-0000000000000001-0".into(),
    };
    assert_eq!(line, expected);
    assert_eq!(lines[1]["type"], "sms", "the contract's name");
    let one = TrackerRequest { number: Some("+14155550101".into()), ..everything() };
    assert_eq!(server.asks(one).await.expect("an answer").len(), 1);
    let none = TrackerRequest { status: Some("unsendable".into()), ..everything() };
    assert_eq!(server.asks(none).await.expect("an answer").len(), 0);
}

#[tokio::test]
async fn a_process_that_may_open_the_socket_makes_lists_and_revokes_keys() {
    let server = Server::start().await;
    let keys = |request| server.asks_for(ControlRequest::Keys(request));
    let create = KeysRequest::Create {
        service: Some("default".into()),
        scopes: vec!["verify".into()],
        name: Some("web".into()),
    };
    let made: KeyLine = read(&keys(create).await.expect("an answer"));
    let secret = made.secret.clone().expect("shown once");
    assert!(server.registry.authenticate(&made.sid, &secret).is_ok());

    let list = KeysRequest::List { service: None };
    let listed: KeyLine = read(&keys(list).await.expect("an answer"));
    let used = server.registry.keys(None)[0].last_used.is_some();
    assert!(used && listed.last_used.is_some() && listed.secret.is_none());
    assert_eq!((listed.sid, listed.name), (made.sid.clone(), Some("web".to_owned())));

    let revoked: KeyLine =
        read(&keys(KeysRequest::Revoke { sid: made.sid.clone() }).await.expect("an answer"));
    assert!(revoked.revoked.is_some());
    assert!(server.registry.authenticate(&made.sid, &secret).is_err());
    let root: RootLine = read(&keys(KeysRequest::NewRoot).await.expect("an answer"));
    assert!(server.registry.authenticate(&root.account_sid, &root.auth_token).is_ok());
}

#[tokio::test]
async fn what_cannot_be_done_with_keys_is_said() {
    let server = Server::start().await;
    let create = |service: &str, scope: &str| KeysRequest::Create {
        service: Some(service.into()),
        scopes: vec![scope.into()],
        name: None,
    };
    for (request, words) in [
        (create("nowhere", "verify"), "no service \"nowhere\""),
        (create("default", "everything"), "verify or admin"),
        (KeysRequest::Revoke { sid: "mine".into() }, "SK"),
        (KeysRequest::Revoke { sid: format!("SK{}", "0".repeat(32)) }, "no such API key"),
    ] {
        let refused = server.asks_for(ControlRequest::Keys(request)).await;
        assert!(matches!(&refused, Err(ControlError::Refused(why)) if why.contains(words)), "{refused:?}");
    }
}

fn read<T: serde::de::DeserializeOwned>(lines: &[serde_json::Value]) -> T {
    assert_eq!(lines.len(), 1);
    serde_json::from_value(lines[0].clone()).expect("a line")
}

#[tokio::test]
async fn what_is_no_question_is_refused_with_a_reason() {
    let server = Server::start().await;
    for request in [
        TrackerRequest { number: Some("unknown".into()), ..everything() },
        TrackerRequest { status: Some("lost".into()), ..everything() },
    ] {
        let refused = server.asks(request).await;
        assert!(matches!(refused, Err(ControlError::Refused(_))), "{refused:?}");
    }
    for text in
        ["", "\n", "hello\n", "{\"export\":{}}\n", "{\"tracker\":{\"limit\":-1}}\n", &"x".repeat(10_000)]
    {
        let answer = server.says(text).await;
        assert!(answer.contains("\"error\":\"not a request"), "{text:?}: {answer}");
    }
}

#[tokio::test]
async fn many_who_ask_at_once_are_answered_one_after_the_other() {
    let server = Server::start().await;
    server.sent(1).await;
    // These connections send nothing, and hold every place until they close.
    let silent: Vec<_> =
        (0..4).map(|_| UnixStream::connect(server.socket()).expect("a connection")).collect();
    let asked = server.asks(everything());
    drop(silent);
    assert_eq!(asked.await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn only_the_owner_may_open_it_and_it_goes_when_the_server_stops() {
    let server = Server::start().await;
    let found = std::fs::metadata(server.socket()).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let (home, path) = server.stop().await;
    assert!(!path.exists());
    let unanswered = spawn_blocking(move || (ask(home.path(), &ControlRequest::Tracker(everything())), home));
    let (unanswered, _home) = unanswered.await.expect("an end");
    assert!(matches!(unanswered, Err(ControlError::NoServer(_))), "{unanswered:?}");
}

#[tokio::test]
async fn a_bind_replaces_a_killed_servers_socket_but_not_one_that_answers() {
    let home = TempDir::new().expect("a directory");
    drop(std::os::unix::net::UnixListener::bind(home.path().join("control.sock")).expect("a socket"));
    let unanswered = ask(home.path(), &ControlRequest::Tracker(everything()));
    assert!(matches!(unanswered, Err(ControlError::NoServer(_))), "{unanswered:?}");
    let socket = ControlSocket::bind(home.path()).expect("it is replaced");
    let second = ControlSocket::bind(home.path());
    assert!(matches!(second, Err(ControlError::InUse(_))), "{second:?}");
    drop(socket);
}

#[tokio::test]
async fn another_file_of_that_name_is_left_alone() {
    let home = TempDir::new().expect("a directory");
    let path = home.path().join("control.sock");
    std::fs::write(&path, "mine").expect("a file");
    let refused = ControlSocket::bind(home.path());
    assert!(matches!(refused, Err(ControlError::Io { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).expect("still there"), b"mine");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_said_to_be() {
    let data_dir = Path::new("/tmp").join("long/".repeat(30));
    for error in
        [ControlSocket::bind(&data_dir).err(), ask(&data_dir, &ControlRequest::Tracker(everything())).err()]
    {
        assert!(matches!(error, Some(ControlError::PathTooLong(_))), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_is_an_error() {
    for (said, part) in [("", "ended early"), ("{\"line\":1}\n", "ended early"), ("what\n", "expected")] {
        let home = TempDir::new().expect("a directory");
        let listener =
            std::os::unix::net::UnixListener::bind(home.path().join("control.sock")).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut question = [0; 1];
            stream.read_exact(&mut question).expect("a question");
            stream.write_all(said.as_bytes()).expect("an answer");
            // Reads to the end: closing then does not reset the connection.
            stream.shutdown(std::net::Shutdown::Write).expect("an end");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = ask(home.path(), &ControlRequest::Tracker(everything())).expect_err("no answer");
        assert!(matches!(&error, ControlError::Incomplete(what) if what.contains(part)), "{said:?}: {error}");
        server.join().expect("an end");
    }
}

fn everything() -> TrackerRequest {
    TrackerRequest {
        number: None,
        service: None,
        status: None,
        since: None,
        until: None,
        limit: 100,
        totals: false,
    }
}

/// A socket that answers over shards in memory.
struct Server {
    home: TempDir,
    attempts: Attempts,
    registry: Registry,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let home = TempDir::new().expect("a directory");
        let (stop, stopped) = oneshot::channel::<()>();
        let socket = ControlSocket::bind(home.path()).expect("a socket");
        let store = MemoryStore::new();
        let registry = World::over(&store).open().await;
        let attempts = Attempts::over(Arc::new(MemoryStore::new()), AttemptLogSettings::default()).await;
        let deps = ControlDeps {
            attempts: attempts.attempts.clone(),
            store: Arc::new(store),
            registry: registry.clone(),
            account: AccountFile::of(home.path()),
            verifying: None,
        };
        let serving = tokio::spawn(socket.serve(deps, async {
            let _ = stopped.await;
        }));
        Self { home, attempts, registry, stop, serving }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }

    async fn sent(&self, last_digits: u64) {
        let mut log = sent(last_digits, Timestamp::from_millis(last_digits * 1_000));
        log.keep_until = Timestamp::from_millis(u64::MAX);
        let row = &mut log.rows[0];
        (row.gateway, row.priority, row.message_id) = (GatewayName::Simulator, 0, Some("SM1".to_owned()));
        self.attempts.keeps(key(last_digits), log).await;
    }

    /// Sends the request at once.
    fn asks(
        &self,
        request: TrackerRequest,
    ) -> impl Future<Output = Result<Vec<serde_json::Value>, ControlError>> + use<> {
        self.asks_for(ControlRequest::Tracker(request))
    }

    fn asks_for(
        &self,
        request: ControlRequest,
    ) -> impl Future<Output = Result<Vec<serde_json::Value>, ControlError>> + use<> {
        let data_dir = self.home.path().to_owned();
        let asked = spawn_blocking(move || ask(&data_dir, &request));
        async { asked.await.expect("an end") }
    }

    /// Sends any text and returns the answer.
    async fn says(&self, text: &str) -> String {
        let (path, text) = (self.socket(), text.to_owned());
        let answer = spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).expect("a connection");
            stream.write_all(text.as_bytes()).expect("sent");
            stream.shutdown(std::net::Shutdown::Write).expect("an end");
            let mut answer = Vec::new();
            // The server does not read too long a request to its end, and the rest resets the connection after the
            // answer.
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).expect("text")
        });
        answer.await.expect("an end")
    }

    async fn stop(self) -> (TempDir, PathBuf) {
        let path = self.socket();
        let _ = self.stop.send(());
        self.serving.await.expect("an end");
        (self.home, path)
    }
}
