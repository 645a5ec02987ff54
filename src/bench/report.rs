//! The reports, in the simplest form.

use super::results::Results;

/// For people.
pub fn table(results: &Results) -> String {
    let mut text = format!("{}\n", results.machine);
    for server in &results.servers {
        for (index, window) in server.windows.iter().enumerate() {
            let ms = |p| window.latency.at(p).unwrap_or_default() / 1e3;
            text += &format!(
                "{} {:<12} {:>10.0}/s p50 {:>8.2} p99 {:>8.2} cpu {:>8.1?} us\n",
                index + 1,
                server.name,
                window.requests_per_s(),
                ms(50.0),
                ms(99.0),
                window.cpu_us_per_request()
            );
        }
    }
    for warning in &results.warnings {
        text += &format!("warning: {warning}\n");
    }
    text
}

/// For programs.
pub fn json(results: &Results) -> String {
    serde_json::to_string_pretty(results).unwrap_or_default()
}

/// As a page.
pub fn html(results: &Results) -> String {
    format!("<pre>{}</pre>", table(results))
}
