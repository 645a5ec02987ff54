//! Traces: the variables of OpenTelemetry's libraries, as far as they are about spans over HTTP.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::forms::{form, hidden, is_exposed, is_line, optional};
use super::layers::Context;

/// Where spans go, and of which requests.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// Where spans are posted.
    pub endpoint: Url,
    /// Further headers. Their values are not shown.
    pub headers: HeaderMap,
    pub service_name: String,
    /// Whether the decision of a caller that names a trace counts.
    pub follows_caller: bool,
    /// The share of the other requests that is traced, from 0 to 1.
    pub ratio: f64,
}

/// The variables about traces.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(clippy::struct_field_names, reason = "each is a variable")]
pub struct TraceVariables {
    /// Address of an OpenTelemetry collector that takes OTLP over HTTP. Spans of requests are posted to v1/traces below
    /// it. Without it no request is traced.
    #[serde(with = "form")]
    #[schemars(with = "Option<String>")]
    otel_exporter_otlp_endpoint: Option<Arc<str>>,
    /// Headers of requests to the collector, such as its key.
    #[serde(deserialize_with = "otlp_headers", serialize_with = "hidden")]
    #[schemars(with = "Option<String>")]
    otel_exporter_otlp_headers: Option<HeaderMap>,
    /// Name of this server in traces. Without it `onceward`.
    #[serde(deserialize_with = "name")]
    otel_service_name: Option<String>,
    /// Which requests are traced. Without it `parentbased_always_on`: the caller decides for its own traces.
    #[serde(deserialize_with = "sampler")]
    otel_traces_sampler: Option<String>,
    /// Share of requests that `traceidratio` and `parentbased_traceidratio` trace. Without it 1.
    #[serde(deserialize_with = "share")]
    otel_traces_sampler_arg: Option<f64>,
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    optional(from, "a name of 1 to 256 characters without line breaks", |text| {
        is_line(text).then(|| text.to_owned())
    })
}

/// The beginning of the samplers that leave the decision to a caller that names a trace.
const PARENT: &str = "parentbased_";

/// A sampler that every library of OpenTelemetry knows.
fn sampler<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let accepted = "always_on, always_off or traceidratio, or one of these behind parentbased_";
    optional(from, accepted, |text| {
        let text = text.to_ascii_lowercase();
        let plain = text.strip_prefix(PARENT).unwrap_or(&text);
        ["always_on", "always_off", "traceidratio"].contains(&plain).then_some(text)
    })
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    optional(from, "a number from 0 to 1", |text| {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
    })
}

/// Headers as OpenTelemetry's libraries take them, values percent-encoded.
fn otlp_headers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HeaderMap>, D::Error> {
    let accepted = "pairs such as \"authorization=Bearer%20abc,x-team=otp\", values percent-encoded";
    optional(from, accepted, headers)
}

/// Reads `name=value,name=value`. `None` for anything else.
fn headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect()
}

/// The settings, if there is an endpoint.
pub fn read(variables: &TraceVariables, c: &mut Context) -> Option<TraceSettings> {
    let endpoint = variables.otel_exporter_otlp_endpoint.as_deref()?;
    let headers = variables.otel_exporter_otlp_headers.clone();
    if headers.is_some() && is_exposed(endpoint) {
        c.report.warn(
            "OTEL_EXPORTER_OTLP_ENDPOINT begins with http: the collector's credentials travel unencrypted",
        );
    }
    let share = variables.otel_traces_sampler_arg.unwrap_or(1.0);
    let sampler = variables.otel_traces_sampler.as_deref().unwrap_or("parentbased_always_on");
    let ratio = match sampler.trim_start_matches(PARENT) {
        "always_on" => 1.0,
        "always_off" => 0.0,
        _ => share,
    };
    Some(TraceSettings {
        endpoint: Url::parse(&format!("{endpoint}/v1/traces")).ok()?,
        headers: headers.unwrap_or_default(),
        service_name: variables.otel_service_name.clone().unwrap_or_else(|| "onceward".to_owned()),
        follows_caller: sampler.starts_with(PARENT),
        ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_with_percent_encoded_values() {
        let read = headers("Authorization=Bearer%20a=b, x-team = otp,").expect("headers");
        assert_eq!(
            (&read["authorization"], &read["x-team"], read.len()),
            (&HeaderValue::from_static("Bearer a=b"), &HeaderValue::from_static("otp"), 2)
        );
        assert!(!format!("{read:?}").contains("Bearer"));
        for wrong in ["authorization", "a b=c", "x=%0A", "x=%FF"] {
            assert!(headers(wrong).is_none(), "{wrong}");
        }
    }
}
