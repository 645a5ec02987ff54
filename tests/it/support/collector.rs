//! A double of an OpenTelemetry collector, which also receives webhooks. It reads spans with OpenTelemetry's own
//! messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use super::double::{Double, Provider};
use super::received::Received;
use super::reply::Said;

pub type Collector = Double<CollectorApi>;

#[derive(Default)]
pub struct CollectorApi;

/// A span with ids in hexadecimal digits.
#[derive(Debug)]
pub struct RecordedSpan {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub nanos: std::ops::Range<u64>,
    pub attributes: BTreeMap<String, String>,
    pub has_failed: bool,
}

impl Collector {
    pub fn exports(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.target == "POST /v1/traces").collect()
    }

    pub fn spans(&self) -> Vec<RecordedSpan> {
        self.exports().iter().flat_map(|export| spans_in(&export.body)).collect()
    }
}

fn spans_in(body: &[u8]) -> Vec<RecordedSpan> {
    let export = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let scopes = export.resource_spans.into_iter().flat_map(|of_resource| of_resource.scope_spans);
    let read = |span: Span| RecordedSpan {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind(),
        nanos: span.start_time_unix_nano..span.end_time_unix_nano,
        has_failed: span.status.is_some_and(|status| status.code == 2),
        attributes: attributes(span.attributes),
        name: span.name,
    };
    scopes.flat_map(|scope| scope.spans).map(read).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: KeyValue| {
        let value = match pair.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{} = {other:?}", pair.key),
        };
        (pair.key, value)
    };
    pairs.into_iter().map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

impl Provider for CollectorApi {
    fn accept(&self, _: &Received) -> Said {
        Said::text(200, "")
    }
}
