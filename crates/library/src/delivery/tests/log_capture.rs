//! Captures the log of a test's own thread.

use std::sync::{Arc, Mutex};

/// What `scenario` logs. It runs twice: tracing remembers for the whole process whether anything listens to a log line,
/// and another test's thread without a subscriber may reach the line first.
pub(crate) async fn log_of(scenario: impl AsyncFn()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    // With two subscribers in the process, tracing asks both instead of only the thread's own.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _capturing = tracing::subscriber::set_default(subscriber);
    scenario().await;
    tracing::callsite::rebuild_interest_cache();
    log.take();
    scenario().await;
    log.take()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("the log"))).expect("UTF-8")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
