//! The log of the front end: the values that it never contains.

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

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the log of this thread, which runs one test.
    fn at(level: Level) -> (Self, DefaultGuard) {
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
