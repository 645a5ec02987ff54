//! Captures the log of a test's own thread.

use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

/// The log of this thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogCapture(Arc<Mutex<Vec<u8>>>);

/// Captures until it is dropped.
pub(crate) struct Capturing {
    _guard: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

impl LogCapture {
    /// Begins to capture, after running `scenario` once without listening: tracing remembers for the whole process
    /// whether anything listens to a log line, and another test's thread without a subscriber may reach the line first.
    /// With two subscribers in the process, tracing asks both instead of only the thread's own.
    pub(crate) async fn start(&self, scenario: impl AsyncFn()) -> Capturing {
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(self.clone())
            .finish();
        let capturing = Capturing { _guard: tracing::subscriber::set_default(subscriber), _second: second };
        scenario().await;
        tracing::callsite::rebuild_interest_cache();
        self.take();
        capturing
    }

    /// The log since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("the log"))).expect("UTF-8")
    }
}

impl std::io::Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogCapture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
