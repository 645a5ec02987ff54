//! Logs, and the export of spans. A log has one event per line on standard error, as text for people or JSON for machines.
//!
//! Only this program's own events are shown below `warn`. Libraries may print whole requests when
//! they are asked to trace, and a request contains a code. Of `h2`, only errors are shown: any client can make it warn,
//! once for each connection.

use std::env;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global::{BoxedTracer, ObjectSafeTracerProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, registry};

use crate::config::{LogFormat, LogSettings};
use crate::observe::trace::Tracer;

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

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
    std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
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

// Spans go to a collector: OTLP over HTTP, as protobuf. No request waits for it. OpenTelemetry's SDK reads its own variables
// from the environment of the process (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

/// Without one of these no request is traced.
const COLLECTOR: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// The time of a stop for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Sends finished spans until it is stopped.
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Begins to export, if a collector is named.
    pub fn start() -> Result<Option<(Arc<Tracer>, Self)>, ExporterBuildError> {
        if COLLECTOR.into_iter().all(|name| env::var_os(name).is_none_or(|url| url.is_empty())) {
            return Ok(None);
        }
        // For a collector that speaks TLS. An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build()?;
        let name = env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| NAME.to_owned());
        let resource = Resource::builder().with_service_name(name);
        let resource = resource.with_attribute(KeyValue::new("service.version", VERSION)).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let scope = InstrumentationScope::builder(NAME).with_version(VERSION).build();
        let spans = BoxedTracer::new(provider.boxed_tracer(scope));
        let tracer = Tracer::new(spans, Box::new(TraceContextPropagator::new()));
        Ok(Some((Arc::new(tracer), Self(provider))))
    }

    /// Sends the spans that have ended, for up to two seconds.
    pub async fn stop(&self) {
        let provider = self.0.clone();
        let stop = move || provider.shutdown_with_timeout(LAST_EXPORT);
        // The SDK has logged what went wrong.
        let _ = tokio::task::spawn_blocking(stop).await;
    }
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
