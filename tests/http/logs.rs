//! The log of the front end: its events, and the values that it never contains.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use onceward_testkit::{World, get, post, send_body, sms_code_body, verify_body};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};

use super::callbacks::with_twilio;

#[tokio::test]
async fn at_trace_level_no_number_code_path_or_query_is_logged() {
    let (log, _guard) = Log::at(Level::TRACE);
    let world = World::with(with_twilio()).await;
    for request in [
        post("/api/send-otp", &send_body()),
        post("/api/verify-otp", &verify_body("739104")),
        post("/verify-code", &sms_code_body("739104")),
        post("/api/verify-otp", r#"{"user":{"phoneNumber":"+1415555267"},"code":739104}"#),
        post("/api/send-otp", r#"{"phoneNumber":"+14155552671","channel":"739104","locale":"739104"}"#),
        post("/api/send-otp", r#"{"phoneNumber":"+14155552671","appHash":"739104"}"#),
        post("/callbacks/twilio/gate?code=739104", "To=%2B14155552671&Digits=739104"),
        get("/inbox/messages?to=%2B14155552671"),
        get("/verify/14155552671/739104"),
        "X14155552671 /739104 HTTP/1.1\r\nhost: 739104\r\n\r\n".to_owned(),
        "14155552671 739104\r\n\r\n".to_owned(),
    ] {
        world.ask(&request).await;
    }
    let lines = log.text();
    assert!(lines.lines().count() >= 8, "{lines}");
    for secret in ["739104", "4155552671", "555267"] {
        assert!(!lines.contains(secret), "{secret} in:\n{lines}");
    }
}

#[tokio::test]
async fn at_debug_level_each_request_has_one_line_with_its_id() {
    let (log, _guard) = Log::at(Level::DEBUG);
    let reply = World::new().await.post("/api/verify-otp", &verify_body("739104")).await;
    let id = reply.header("x-request-id").expect("an id");
    log.has_line(
        "request answered",
        &[r#"method="POST""#, r#"route="/api/verify-otp""#, "status=401", "micros=", id],
    );
}

#[tokio::test]
async fn info_logs_a_lockout_in_one_line_with_masked_number_and_request_id() {
    let (log, _guard) = Log::at(Level::INFO);
    let world = World::new().await;
    world.post("/api/send-otp", &send_body()).await;
    let body = verify_body(world.wrong_code());
    for _ in 0..4 {
        world.post("/api/verify-otp", &body).await;
    }
    log.clear();
    let reply = world.post("/api/verify-otp", &body).await;
    let id = reply.header("x-request-id").expect("an id");
    log.has_line(id, &[" INFO ", "number locked out after too many wrong codes", "number=+1415*****71"]);
}

#[tokio::test]
async fn at_debug_level_a_bad_body_tells_why_and_repeats_none_of_it() {
    let (log, _guard) = Log::at(Level::DEBUG);
    let world = World::new().await;
    for body in [
        r#"{"code":"739104","code":"739104"}"#,
        r#"{"user":{"phoneNumber":14155552672},"code":"739104"}"#,
        r#"{"user":"a, expected 739104","code":"1"}"#,
        "{\n\"x\": x739104}",
        r#"{"user":{"phoneNumber":"739104"},"code":"1"}"#,
        r#"{"user":{"phoneNumber":"+14155552672"},"code":""} 739104"#,
    ] {
        log.clear();
        let reply = world.post("/api/verify-otp", body).await;
        assert_eq!(reply.status, 400, "{body}");
        let told = ["x-request-id", "x-onceward-reason"].map(|name| reply.header(name).expect("a header"));
        log.has_line(REFUSED, &told);
        assert!(!["739104", "4155552672"].iter().any(|private| log.text().contains(private)), "{body}");
    }
}

/// The line of each request, beside the one a second at info.
const REFUSED: &str = "DEBUG onceward::http::service: request body refused";

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the log of this thread, which runs one test.
    pub(super) fn at(level: Level) -> (Self, DefaultGuard) {
        // With a single subscriber, tracing asks only the present thread whether an event is wanted, and remembers the
        // answer: another test's thread without a subscriber would disable the event for all.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&ANOTHER);

        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// Fails unless one line has the mark, and that line these parts too.
    #[track_caller]
    pub(super) fn has_line(&self, mark: &str, parts: &[&str]) {
        let text = self.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(mark)).collect();
        assert_eq!(lines.len(), 1, "{mark} in:\n{text}");
        let missing: Vec<_> = parts.iter().filter(|part| !lines[0].contains(**part)).collect();
        assert!(missing.is_empty(), "{missing:?} not in {}", lines[0]);
    }

    fn clear(&self) {
        self.0.lock().expect("not poisoned").clear();
    }

    pub(super) fn text(&self) -> String {
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
