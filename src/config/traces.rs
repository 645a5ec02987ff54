//! Traces: the variables of OpenTelemetry's libraries, as far as they are about spans over HTTP.

use http::HeaderMap;
use url::Url;

use super::context::Context;
use super::gateways::Variables;
use super::kind::Named;
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

/// The samplers that every library of OpenTelemetry knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceSampler {
    AlwaysOn,
    AlwaysOff,
    Ratio,
    ParentElseOn,
    ParentElseOff,
    ParentElseRatio,
}

impl Named for TraceSampler {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("always_on", Self::AlwaysOn),
        ("always_off", Self::AlwaysOff),
        ("traceidratio", Self::Ratio),
        ("parentbased_always_on", Self::ParentElseOn),
        ("parentbased_always_off", Self::ParentElseOff),
        ("parentbased_traceidratio", Self::ParentElseRatio),
    ];
}

impl TraceSampler {
    /// Whether the caller's decision counts, and the share of the other requests.
    const fn with(self, ratio: f64) -> (bool, f64) {
        match self {
            Self::AlwaysOn => (false, 1.0),
            Self::AlwaysOff => (false, 0.0),
            Self::Ratio => (false, ratio),
            Self::ParentElseOn => (true, 1.0),
            Self::ParentElseOff => (true, 0.0),
            Self::ParentElseRatio => (true, ratio),
        }
    }
}

/// The settings, if there is an endpoint.
pub fn read(variables: &Variables, c: &mut Context) -> Option<TraceSettings> {
    let endpoint = variables.otel_exporter_otlp_endpoint.clone()?;
    let headers = variables.otel_exporter_otlp_headers.clone();
    if headers.is_some() && is_exposed(endpoint.as_str()) {
        c.report.warn(format!("{ENDPOINT} begins with http: the collector's credentials travel unencrypted"));
    }
    let sampler = variables.otel_traces_sampler.unwrap_or(TraceSampler::ParentElseOn);
    let (follows_caller, ratio) = sampler.with(variables.otel_traces_sampler_arg.unwrap_or(1.0));
    Some(TraceSettings {
        endpoint,
        headers: headers.unwrap_or_default(),
        service_name: variables.otel_service_name.clone().unwrap_or_else(|| "onceward".to_owned()),
        follows_caller,
        ratio,
    })
}
