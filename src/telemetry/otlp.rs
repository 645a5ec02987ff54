//! Sends spans to a collector: OTLP over HTTP, as protobuf. No request waits for it.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::otlp_messages::{
    AnyValue, ExportRequest, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status,
    any_value,
};
use crate::clock::{Clock, LastingCondition};
use crate::config::TraceSettings;
use crate::gateway::{ClientError, HttpClient, NoResponse};
use crate::trace::{Attribute, FinishedSpan, SpanKind, Tracer};

/// Spans of one request to the collector.
const BATCH: usize = 512;

/// The longest wait of a finished span for others.
const DELAY: Duration = Duration::from_secs(5);

/// The time for one request to the collector.
const EXPORT_TIME: Duration = Duration::from_secs(10);

/// The time of a stop for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Sends finished spans until it is stopped.
pub struct Exporter {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Begins to export. Needs a runtime.
    ///
    /// # Errors
    /// When the client cannot be set up, such as for lack of root certificates.
    pub fn start(
        settings: &TraceSettings,
        tracer: Arc<Tracer>,
        queue: mpsc::Receiver<FinishedSpan>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = HttpClient::for_target(&settings.endpoint)?;
        let stop = CancellationToken::new();
        let resource = Resource {
            attributes: vec![
                text("service.name", &settings.service_name),
                text("service.version", env!("CARGO_PKG_VERSION")),
            ],
        };
        let task = ExportTask {
            client,
            settings: settings.clone(),
            resource,
            tracer,
            clock,
            trouble: None,
            dropped: 0,
        };
        let task = tokio::spawn(task.run(queue, stop.clone()));
        Ok(Self { stop: stop.drop_guard(), task })
    }

    /// Sends the spans that have ended, for up to two seconds.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = timeout(LAST_EXPORT, self.task).await;
    }
}

struct ExportTask {
    client: HttpClient,
    settings: TraceSettings,
    resource: Resource,
    tracer: Arc<Tracer>,
    clock: Arc<dyn Clock>,
    /// Why spans are being dropped.
    trouble: Option<LastingCondition>,
    /// Dropped spans that no line in the log has counted.
    dropped: u64,
}

impl ExportTask {
    async fn run(mut self, mut queue: mpsc::Receiver<FinishedSpan>, stop: CancellationToken) {
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            let is_last = tokio::select! {
                () = collect(&mut queue, &mut batch) => false,
                () = stop.cancelled() => {
                    while batch.len() < BATCH && let Ok(span) = queue.try_recv() {
                        batch.push(span);
                    }
                    true
                }
            };
            if batch.is_empty() {
                return;
            }
            self.export(batch).await;
            if is_last && queue.is_empty() {
                return;
            }
        }
    }

    async fn export(&mut self, batch: Vec<FinishedSpan>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = timeout(EXPORT_TIME, self.send(batch)).await;
        let sent = sent.unwrap_or_else(|_| Err("timeout".to_owned()));
        let beyond_queue = self.tracer.take_dropped();
        self.dropped += beyond_queue;
        let reason = match sent {
            Err(reason) => {
                self.dropped += count;
                reason
            }
            Ok(()) if beyond_queue > 0 => "more spans than can be sent".to_owned(),
            Ok(()) => {
                if self.trouble.take().is_some() {
                    info!(count = std::mem::take(&mut self.dropped), "spans exported again");
                }
                return;
            }
        };
        if LastingCondition::report(&mut self.trouble, &reason, self.clock.now()) {
            warn!(reason, count = std::mem::take(&mut self.dropped), "spans dropped");
        }
    }

    async fn send(&self, batch: Vec<FinishedSpan>) -> Result<(), String> {
        let request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(Scope {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    spans: batch.into_iter().map(Span::from).collect(),
                }],
            }],
        };
        let mut post = Request::new(Method::POST, self.settings.endpoint.clone());
        *post.headers_mut() = self.headers();
        *post.body_mut() = Some(request.encode_to_vec().into());
        match self.client.send(post).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("the collector answered {}", answer.status.as_u16())),
            Err(NoResponse::NotConnected(why)) => Err(why),
            Err(NoResponse::Broken(why)) => Err(why.to_owned()),
            Err(NoResponse::OutOfReach | NoResponse::Unsendable) => Err("address not allowed".to_owned()),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = self.settings.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers
    }
}

/// Fills a batch until it is full or its first span has waited long enough. Keeps what it has when it is dropped.
async fn collect(queue: &mut mpsc::Receiver<FinishedSpan>, batch: &mut Vec<FinishedSpan>) {
    if queue.recv_many(batch, BATCH).await == 0 {
        // The tracer is gone, and with it every span.
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "tokio's time, for a timer of tokio's")]
    let end = Instant::now() + DELAY;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        let Ok(1..) = timeout_at(end, queue.recv_many(batch, room)).await else { return };
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::Text(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// The code of a status that tells of an error.
const ERROR: i32 = 2;

impl From<FinishedSpan> for Span {
    fn from(span: FinishedSpan) -> Self {
        let FinishedSpan { id, parent, name, kind, start, end, attributes, has_failed, link } = span;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let attributes = attributes.into_iter().map(|(key, value)| {
            attribute(
                key,
                match value {
                    Attribute::Text(text) => any_value::Value::Text(text.into_owned()),
                    Attribute::Number(number) => any_value::Value::Number(number),
                },
            )
        });
        let link = link.map(|cause| Link {
            trace_id: cause.trace.to_be_bytes().to_vec(),
            span_id: cause.span.to_be_bytes().to_vec(),
        });
        Self {
            trace_id: id.trace.to_be_bytes().to_vec(),
            id: id.span.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            name: name.into_owned(),
            kind: match kind {
                SpanKind::Internal => 1,
                SpanKind::Server => 2,
                SpanKind::Client => 3,
            },
            start_time_unix_nano: nanos(start),
            end_time_unix_nano: nanos(end),
            attributes: attributes.collect(),
            links: link.into_iter().collect(),
            status: has_failed.then_some(Status { code: ERROR }),
        }
    }
}
