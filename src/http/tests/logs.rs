//! What the front end logs, and what it never does.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};

use super::client::{get, post};
use super::script::Script;
use super::world::{World, send_body, sms_code_body, verify_body};
use crate::shard::{CheckAnswer, Refusal};

#[tokio::test]
async fn at_trace_level_no_number_code_path_or_query_is_logged() {
    let log = Log::default();
    let _guard = log.capture(Level::TRACE);
    let world = World::scripted(Script::checks(CheckAnswer::Approved)).await;
    for request in [
        post("/api/send-otp", &send_body()),
        post("/api/verify-otp", &verify_body("739104")),
        post("/verify-code", &sms_code_body("739104")),
        post("/api/verify-otp", r#"{"user":{"phoneNumber":"+1415555267"},"code":739104}"#),
        get("/inbox/messages?to=%2B14155552671"),
        get("/verify/14155552671/739104"),
        "X14155552671 /739104 HTTP/1.1\r\nhost: 739104\r\n\r\n".to_owned(),
        "14155552671 739104\r\n\r\n".to_owned(),
    ] {
        world.ask(&request).await;
    }
    let lines = log.text();
    assert!(lines.lines().count() >= 8, "{lines}");
    for secret in ["739104", "4155552671", "555267", "inbox/messages"] {
        assert!(!lines.contains(secret), "{secret} in:\n{lines}");
    }
}

#[tokio::test]
async fn at_debug_level_each_request_has_one_line_with_its_id() {
    let log = Log::default();
    let _guard = log.capture(Level::DEBUG);
    let world = World::scripted(Script::checks(CheckAnswer::Approved)).await;
    let reply = world.post("/api/verify-otp", &verify_body("739104")).await;
    let id = reply.header("x-request-id").expect("an id");
    let lines = log.text();
    let line: Vec<_> = lines.lines().filter(|line| line.contains("answered")).collect();
    assert_eq!(line.len(), 1, "{lines}");
    for part in [r#"method="POST""#, r#"route="/api/verify-otp""#, "status=200", "micros=", id] {
        assert!(line[0].contains(part), "{part} not in {}", line[0]);
    }
}

#[tokio::test]
async fn at_info_level_a_refusal_is_one_line_and_a_good_answer_none() {
    let log = Log::default();
    let _guard = log.capture(Level::INFO);
    let world = World::scripted(Script::checks(CheckAnswer::Approved)).await;
    world.post("/api/verify-otp", &verify_body("739104")).await;
    assert_eq!(log.text(), "");
    let world = World::scripted(Script::refuses(Refusal::StoreUnavailable)).await;
    world.post("/api/verify-otp", &verify_body("739104")).await;
    let lines = log.text();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("the store is not available"), "{lines}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what this thread logs; a test runs in one.
    fn capture(&self, level: Level) -> DefaultGuard {
        // With a single subscriber alive, tracing asks only the present thread's whether an event is
        // wanted, and remembers the answer: another test's thread, without one, would say no for all.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&ANOTHER);

        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
