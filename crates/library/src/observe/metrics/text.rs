//! The text formats of a scrape.

use std::fmt;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// A format that Prometheus reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Version 1.0.0.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4, for programs that do not ask for `OpenMetrics`.
    Classic,
}

impl TextFormat {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Writes what the registries contain.
    pub(super) fn write(self, registries: &[&Registry]) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(32 * 1024);
        for registry in registries {
            encode_registry(&mut text, registry)?;
        }
        match self {
            Self::OpenMetrics => {
                encode_eof(&mut text)?;
                Ok(text)
            }
            Self::Classic => Ok(classic(&text)),
        }
    }
}

/// `OpenMetrics` names a counter without the suffix of its samples. The older format names each family as its samples.
fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let kind = lines.peek().and_then(|next| next.strip_prefix("# TYPE ")?.split_once(' '));
        let help = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        if let (Some((name, help)), Some((_, kind))) = (help, kind) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            for part in ["# HELP ", name, suffix, " ", help, "\n# TYPE ", name, suffix, " ", kind, "\n"] {
                out.push_str(part);
            }
            lines.next();
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
