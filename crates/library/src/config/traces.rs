//! Traces: the variables of OpenTelemetry's libraries, as far as they are about spans over HTTP.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::sources::Config;
use super::values::{base_url, hidden, is_exposed};
use crate::domain::optional;
use Sampler::{AlwaysOff, AlwaysOn, ParentbasedAlwaysOff, ParentbasedAlwaysOn, Traceidratio};

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
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(clippy::struct_field_names, reason = "each is a variable")]
pub struct TraceVariables {
    /// Address of an OpenTelemetry collector that takes OTLP over HTTP. Spans of requests are posted to v1/traces below
    /// it. Without it no request is traced.
    #[serde(deserialize_with = "base_url")]
    otel_exporter_otlp_endpoint: Option<String>,
    /// Headers of requests to the collector, such as its key.
    #[serde(deserialize_with = "otlp_headers", serialize_with = "hidden")]
    otel_exporter_otlp_headers: Option<HeaderMap>,
    /// Name of this server in traces. Without it `onceward`.
    otel_service_name: Option<String>,
    /// Which requests are traced. Without it `parentbased_always_on`: the caller decides for its own traces.
    otel_traces_sampler: Option<Sampler>,
    /// Share of requests that `traceidratio` and `parentbased_traceidratio` trace. Without it 1.
    otel_traces_sampler_arg: Option<f64>,
}

/// A sampler that every library of OpenTelemetry knows.
#[derive(Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Sampler {
    AlwaysOn,
    AlwaysOff,
    Traceidratio,
    ParentbasedAlwaysOn,
    ParentbasedAlwaysOff,
    ParentbasedTraceidratio,
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
pub fn read(variables: &TraceVariables, c: &mut Config) -> Option<TraceSettings> {
    let endpoint = variables.otel_exporter_otlp_endpoint.as_deref()?;
    let headers = variables.otel_exporter_otlp_headers.clone();
    let words =
        "OTEL_EXPORTER_OTLP_ENDPOINT begins with http: the collector's credentials travel unencrypted";
    c.warn_if(headers.is_some() && is_exposed(endpoint), words);
    let sampler = variables.otel_traces_sampler.unwrap_or(ParentbasedAlwaysOn);
    let ratio = match sampler {
        AlwaysOn | ParentbasedAlwaysOn => 1.0,
        AlwaysOff | ParentbasedAlwaysOff => 0.0,
        _ => variables.otel_traces_sampler_arg.unwrap_or(1.0).clamp(0.0, 1.0),
    };
    Some(TraceSettings {
        endpoint: Url::parse(&format!("{endpoint}/v1/traces")).ok()?,
        headers: headers.unwrap_or_default(),
        service_name: variables.otel_service_name.clone().unwrap_or_else(|| "onceward".to_owned()),
        follows_caller: !matches!(sampler, AlwaysOn | AlwaysOff | Traceidratio),
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
