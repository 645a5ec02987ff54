//! Logs, and the export of spans. A log has one event per line on standard error, as text for people or JSON for machines.
//!
//! Only this program's own events are shown below `warn`. Libraries may print whole requests when
//! they are asked to trace, and a request contains a code. Of `h2`, only errors are shown: any client can make it warn,
//! once for each connection.

mod otlp;

use std::io::IsTerminal;

use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

pub use otlp::Exporter;

/// Lines that may wait for a reader of standard error. Beyond it lines are lost, not requests: a terminal that was
/// stopped, or a pipe without a reader, must not hold up the server.
const WAITING: usize = 8_192;

/// Starts logging for the whole process. A second call changes nothing. The last lines are printed when the guard is
/// dropped.
pub fn init(settings: LogSettings) -> WorkerGuard {
    let printed = NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log");
    let (stderr, last_lines) = printed.finish(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = match settings.format {
        LogFormat::Text => lines.with_ansi(wants_colors()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Already set means that a program around the library has its own logging.
    let _ = registry().with(layer.with_filter(shown_targets(settings.level.into()))).try_init();
    last_lines
}

fn shown_targets(level: Level) -> Targets {
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("h2", Level::ERROR)
        .with_default(level.min(Level::WARN))
}

/// Whether standard error shows colors: a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
fn wants_colors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Makes every panic one event in the log, without a text of several lines next to it. The event repeats the panic's
/// text only if that is a literal of the source: a text that was made at run time may contain numbers or codes.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::error!(place, thread, said, "thread panicked; please report it");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_make_a_library_fill_the_log() {
        let shown = shown_targets(Level::TRACE);
        assert!(shown.would_enable("onceward::http", &Level::TRACE));
        assert!(shown.would_enable("onceward_library::shard", &Level::TRACE));
        assert!(shown.would_enable("hyper", &Level::WARN) && !shown.would_enable("hyper", &Level::INFO));
        assert!(!shown.would_enable("h2::proto::streams::recv", &Level::WARN));
        assert!(shown.would_enable("h2::proto::streams::recv", &Level::ERROR));
    }
}
