//! Spans for OpenTelemetry: what happened in a request, and how long it took. The server exports them.
//!
//! Without a [`Tracer`] no span is made. A span holds no number, code, key or path: names and attributes are the
//! server's own words, but for the id of the request.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Link, Span as _, SpanContext as SpanIds, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, StringValue};
use parking_lot::Mutex;

pub use opentelemetry::trace::SpanKind;

/// Webhook events whose cause is remembered, for links. A further one makes all of them forgotten.
pub const MAX_CAUSES: usize = 10_000;

/// Makes spans.
#[derive(Debug)]
pub struct Tracer {
    spans: BoxedTracer,
    propagator: Box<dyn TextMapPropagator + Send + Sync>,
    /// The spans of the requests that caused webhook events, by the ids of the events.
    causes: Mutex<HashMap<[u8; 16], SpanIds>>,
}

impl Tracer {
    /// `propagator` reads the header `traceparent`.
    pub fn new(spans: BoxedTracer, propagator: Box<dyn TextMapPropagator + Send + Sync>) -> Self {
        Self { spans, propagator, causes: Mutex::default() }
    }

    /// Begins the span of a request with this `traceparent`. `None` if the request is not sampled.
    pub fn request(
        self: &Arc<Self>,
        name: impl Into<Cow<'static, str>>,
        traceparent: Option<&str>,
    ) -> Option<Span> {
        // Names the caller's span (W3C Trace Context).
        let headers: HashMap<_, _> =
            traceparent.map(|value| ("traceparent".to_owned(), value.to_owned())).into_iter().collect();
        let caller = self.propagator.extract_with_context(&Context::new(), &headers);
        self.begin(name.into(), SpanKind::Server, Vec::new(), &caller)
    }

    /// Begins the span of a delivery of a webhook's event. `None` if its cause was not traced.
    pub fn delivery(self: &Arc<Self>, event: [u8; 16]) -> Option<Span> {
        let cause = self.causes.lock().get(&event).cloned()?;
        let links = vec![Link::with_context(cause)];
        self.begin("deliver webhook".into(), SpanKind::Client, links, &Context::new())
    }

    fn begin(
        self: &Arc<Self>,
        name: Cow<'static, str>,
        kind: SpanKind,
        links: Vec<Link>,
        parent: &Context,
    ) -> Option<Span> {
        let builder = self.spans.span_builder(name).with_kind(kind).with_links(links);
        let span = builder.start_with_context(&self.spans, parent);
        let ids = span.span_context().clone();
        let context = SpanContext { tracer: Arc::clone(self), ids };
        span.is_recording().then_some(Span { context, span })
    }
}

/// A span that may have children, also after its end: a command carries one, or none.
#[derive(Debug, Clone)]
pub struct SpanContext {
    tracer: Arc<Tracer>,
    ids: SpanIds,
}

impl SpanContext {
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Option<Span> {
        let parent = Context::new().with_remote_span_context(self.ids.clone());
        self.tracer.begin(name.into(), kind, Vec::new(), &parent)
    }

    /// Remembers that this request caused an event.
    pub fn note_cause_of(&self, event: [u8; 16]) {
        let mut causes = self.tracer.causes.lock();
        if causes.len() == MAX_CAUSES {
            causes.clear();
        }
        causes.insert(event, self.ids.clone());
    }
}

/// A span that is going on. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: SpanContext,
    span: BoxedSpan,
}

impl Span {
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    pub fn text(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.span.set_attribute(KeyValue::new(name, StringValue::from(value.into())));
    }

    pub fn number(&mut self, name: &'static str, value: impl Into<i64>) {
        self.span.set_attribute(KeyValue::new(name, value.into()));
    }

    /// Notes that what the span is about has failed.
    pub fn fail(&mut self) {
        self.span.set_status(Status::error(""));
    }
}

/// The id of a client's request in the log, and the request's span if it is traced.
#[derive(Debug, Clone)]
pub struct RequestId {
    text: Arc<str>,
    span: Option<SpanContext>,
}

impl RequestId {
    pub fn new(text: &str, span: Option<SpanContext>) -> Self {
        Self { text: text.into(), span }
    }

    pub const fn span(&self) -> Option<&SpanContext> {
        self.span.as_ref()
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self::new(text, None)
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}
