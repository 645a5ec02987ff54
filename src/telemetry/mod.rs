//! Logs: one event per line on standard error, as text for people or JSON for machines.
//!
//! Only this program's own events are shown below `warn`. Libraries may print whole requests when
//! they are asked to trace, and a request contains a code.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(settings: LogSettings) {
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), settings.level);
    let filter = own.with_default(settings.level.min(Level::WARN));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Already set means that a program around the library has its own logging.
    let _ = registry().with(layer.with_filter(filter)).try_init();
}
