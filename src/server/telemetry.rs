//! Logs, and the export of spans. A log has one event per line on standard error, as text for people or JSON for machines.
//!
//! Only this program's own events are shown below `warn`. Libraries may print whole requests when
//! they are asked to trace, and a request contains a code. Of `h2`, only errors are shown: any client can make it warn,
//! once for each connection.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global::{BoxedTracer, ObjectSafeTracerProvider as _};
use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider, ShouldSample,
    SpanData, SpanExporter, TracerProviderBuilder,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{Level, info, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, registry};

use crate::clock::{Clock, LastingCondition};
use crate::config::{LogFormat, LogSettings, TraceSettings};
use crate::gateway::HttpClient;
use crate::observe::trace::Tracer;

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

// Sends spans to a collector: OTLP over HTTP, as protobuf. No request waits for it.

/// Spans that wait for the exporter. Beyond it they are dropped.
const MAX_QUEUE: usize = 4_096;

/// Spans of one request to the collector.
const BATCH: usize = 512;

/// The longest wait of a finished span for others.
const DELAY: Duration = Duration::from_secs(5);

/// The time for one request to the collector.
const EXPORT_TIME: Duration = Duration::from_secs(10);

/// The time of a stop for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Sends finished spans until it is stopped.
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Begins to export. Needs a runtime.
    pub fn start(
        settings: &TraceSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Tracer>, Self), Box<dyn Error + Send + Sync>> {
        let headers = settings.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(HttpClient::for_target(&settings.endpoint)?.into_inner())
            .with_endpoint(settings.endpoint.as_str())
            .with_headers(headers.collect())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_TIME)
            .build()?;
        let exporter = BoundedExporter {
            otlp: Arc::new(otlp),
            runtime: Handle::current(),
            clock,
            trouble: Mutex::default(),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider =
            SdkTracerProvider::builder().with_span_processor(batches).with_resource(resource.build());
        let (tracer, provider) = tracer(provider, settings.follows_caller, settings.ratio);
        Ok((tracer, Self(provider)))
    }

    /// Sends the spans that have ended, for up to two seconds.
    pub async fn stop(&self) {
        let provider = self.0.clone();
        let stop = move || provider.shutdown_with_timeout(LAST_EXPORT);
        // The exporter has said what went wrong.
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

/// The share `ratio` of requests is traced; those whose caller names a trace, as the caller says if `follows_caller`.
pub(crate) fn tracer(
    provider: TracerProviderBuilder,
    follows_caller: bool,
    ratio: f64,
) -> (Arc<Tracer>, SdkTracerProvider) {
    let share = Sampler::TraceIdRatioBased(ratio);
    let requests = if follows_caller { Sampler::ParentBased(Box::new(share)) } else { share };
    let provider = provider.with_sampler(CauseSampler(requests)).build();
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
    let tracer = BoxedTracer::new(provider.boxed_tracer(scope.build()));
    (Arc::new(Tracer::new(tracer, Box::new(TraceContextPropagator::new()))), provider)
}

/// Traces what a traced request caused, and a share of requests.
#[derive(Debug, Clone)]
struct CauseSampler(Sampler);

impl ShouldSample for CauseSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let requests = if links.is_empty() { &self.0 } else { &Sampler::AlwaysOn };
        requests.should_sample(parent, id, name, kind, attributes, links)
    }
}

/// Bounds the time of an export, runs it where the HTTP client can, and logs that it fails.
struct BoundedExporter {
    otlp: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    /// Why spans are being dropped, and how many no line in the log has counted.
    trouble: Mutex<(Option<LastingCondition>, usize)>,
}

impl SpanExporter for BoundedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (otlp, count) = (Arc::clone(&self.otlp), batch.len());
        let export = async move { timeout(EXPORT_TIME, otlp.export(batch)).await };
        let outcome = match self.runtime.spawn(export).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(EXPORT_TIME)),
            // The program ends, and its runtime with it.
            Err(error) => return Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        let (trouble, dropped) = &mut *self.trouble.lock();
        match &outcome {
            Ok(()) if trouble.take().is_some() => {
                info!(count = std::mem::take(dropped), "spans exported again");
            }
            Ok(()) => {}
            Err(error) => {
                let reason = error.to_string();
                *dropped += count;
                if LastingCondition::report(trouble, &reason, self.clock.now()) {
                    warn!(reason, count = std::mem::take(dropped), "spans dropped");
                }
            }
        }
        outcome
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing else has it before the first export.
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

impl fmt::Debug for BoundedExporter {
    /// Without the headers, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundedExporter")
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
