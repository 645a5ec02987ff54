//! Codes of other systems: whether the running server learns which of their messages led to a verified number.

use std::path::Path;

use super::super::client::Client;
use super::Findings;

const REMEDY: &str = "report verified numbers with POST /v2/Services/{ServiceSid}/Outcomes, or by a hook of the system; see \
                      docs/guides/carried-codes.md";

/// Without a server nothing is known.
pub(super) fn examine(data_dir: &Path, findings: &mut Findings) {
    let Ok(answer) = Client::of(data_dir).map(|client| client.get("/local/WithoutOutcomes", &[])) else {
        return;
    };
    let services = answer.ok().and_then(|answer| answer["services"].as_array().cloned()).unwrap_or_default();
    for service in services.iter().filter_map(|service| service.as_str()) {
        let detail = format!(
            "{service} carries codes, and no outcome came in 7 days: the guard works with number types, countries, budgets \
             and the limit for each number only"
        );
        findings.warn("outcomes", detail, REMEDY);
    }
}
