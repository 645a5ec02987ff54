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
    Span as _, SpanContext as SpanIds, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, StringValue};

/// Makes spans.
#[derive(Debug)]
pub struct Tracer {
    spans: BoxedTracer,
    propagator: Box<dyn TextMapPropagator + Send + Sync>,
}

impl Tracer {
    /// `propagator` reads the header `traceparent`.
    pub fn new(spans: BoxedTracer, propagator: Box<dyn TextMapPropagator + Send + Sync>) -> Self {
        Self { spans, propagator }
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
        self.begin(name.into(), SpanKind::Server, &caller)
    }

    fn begin(self: &Arc<Self>, name: Cow<'static, str>, kind: SpanKind, parent: &Context) -> Option<Span> {
        let builder = self.spans.span_builder(name).with_kind(kind);
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
    /// A request to a gateway.
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Option<Span> {
        let parent = Context::new().with_remote_span_context(self.ids.clone());
        self.tracer.begin(name.into(), SpanKind::Client, &parent)
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
