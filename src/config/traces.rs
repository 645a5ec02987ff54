//! Traces: the variables of OpenTelemetry's libraries, as far as they are about spans over HTTP.

use reqwest::header::HeaderMap;
use url::Url;

use super::context::Context;
use super::gateways::Variables;
use super::kind::Spelled;
use super::values::is_exposed;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

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

/// A sampler that every library of OpenTelemetry knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceSampler {
    follows_caller: bool,
    /// `None` for the share that is given by itself.
    ratio: Option<f64>,
}

impl Spelled for TraceSampler {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("always_on", Self { follows_caller: false, ratio: Some(1.0) }),
        ("always_off", Self { follows_caller: false, ratio: Some(0.0) }),
        ("traceidratio", Self { follows_caller: false, ratio: None }),
        ("parentbased_always_on", Self { follows_caller: true, ratio: Some(1.0) }),
        ("parentbased_always_off", Self { follows_caller: true, ratio: Some(0.0) }),
        ("parentbased_traceidratio", Self { follows_caller: true, ratio: None }),
    ];
}

/// The settings, if there is an endpoint.
pub fn read(variables: &Variables, c: &mut Context) -> Option<TraceSettings> {
    let endpoint = variables.otel_exporter_otlp_endpoint.clone()?;
    let headers = variables.otel_exporter_otlp_headers.clone();
    if headers.is_some() && is_exposed(endpoint.as_str()) {
        c.report.warn(format!("{ENDPOINT} begins with http: the collector's credentials travel unencrypted"));
    }
    let parent_else_on = TraceSampler { follows_caller: true, ratio: Some(1.0) };
    let sampler = variables.otel_traces_sampler.unwrap_or(parent_else_on);
    Some(TraceSettings {
        endpoint,
        headers: headers.unwrap_or_default(),
        service_name: variables.otel_service_name.clone().unwrap_or_else(|| "onceward".to_owned()),
        follows_caller: sampler.follows_caller,
        ratio: sampler.ratio.or(variables.otel_traces_sampler_arg).unwrap_or(1.0),
    })
}
