//! The reports, in their simplest form.

use std::fmt::Write as _;

use super::results::Results;

/// For people.
pub fn table(results: &Results) -> String {
    let mut text = format!("{}\n", results.machine);
    for server in &results.servers {
        for (index, window) in server.windows.iter().enumerate() {
            let ms = |p| window.latency.at(p).unwrap_or_default() / 1e3;
            let cpu = window.cpu_us_per_request().unwrap_or(f64::NAN);
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{} {:<14} {:>9.0} requests/s  p50 {:>8.2} ms  p99 {:>8.2} ms  CPU {cpu:>7.1} us per request",
                index + 1,
                server.name,
                window.requests_per_s(),
                ms(50.0),
                ms(99.0),
            );
        }
    }
    for warning in &results.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// For programs.
pub fn json(results: &Results) -> String {
    serde_json::to_string_pretty(results).unwrap_or_default()
}

/// As a page.
pub fn html(results: &Results) -> String {
    let text = table(results).replace('&', "&amp;").replace('<', "&lt;");
    format!("<!doctype html><meta charset=utf-8><pre>{text}</pre>")
}
