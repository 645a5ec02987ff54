//! `onceward health`: asks the server for readiness, for supervisors that have no HTTP client, such as a container's.

use std::time::Duration;

use serde_json::Value;

use super::answer::CommandOutput;
use super::client::{cause, http};
use super::context::Context;
use super::error::CommandError;
use crate::config::ListenAddress;
use crate::server::EXIT_FAILED;

/// For the head of the answer, and for its body. A container's check has 30 s by default.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub fn run(cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = cx.settings()?;
    let url = readiness_url(&settings.listen, settings.tls.is_some());
    let failed = |what: String| CommandError::Failed(format!("{url}: {what}"));
    let asked = http().timeout(ANSWER_WITHIN).build().and_then(|http| http.get(&url).send());
    let read = asked.and_then(|answer| Ok((answer.status(), answer.bytes()?)));
    let (status, body) =
        read.map_err(|error| failed(format!("the server does not answer: {}", cause(error))))?;
    let readiness: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(message) = readiness["message"].as_str() else {
        return Err(failed("another program answers".to_owned()));
    };
    if cx.json {
        let (code, out) = (if status.is_success() { 0 } else { EXIT_FAILED }, String::from_utf8_lossy(&body));
        return Ok(CommandOutput { code, ..CommandOutput::of(out + "\n") });
    }
    if status.is_success() {
        return Ok(CommandOutput::of(format!("{message}\n")));
    }
    let reason = readiness["data"]["reason"].as_str().unwrap_or("no reason");
    Err(failed(format!("{message}: {reason}; onceward doctor says more")))
}

/// The URL of readiness, as this machine reaches it.
fn readiness_url(listen: &ListenAddress, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let host = match listen.host.as_str() {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    format!("{scheme}://{}/readyz", ListenAddress { host: host.to_owned(), port: listen.port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_loopback_and_a_named_one_by_its_name() {
        for (host, tls, url) in [
            ("", false, "http://127.0.0.1:3000/readyz"),
            ("0.0.0.0", true, "https://127.0.0.1:3000/readyz"),
            ("::", false, "http://[::1]:3000/readyz"),
            ("localhost", false, "http://localhost:3000/readyz"),
            ("192.0.2.1", true, "https://192.0.2.1:3000/readyz"),
        ] {
            let listen = ListenAddress { host: host.to_owned(), port: 3000 };
            assert_eq!(readiness_url(&listen, tls), url);
        }
    }
}
