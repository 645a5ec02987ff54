//! Misbehaving providers: the client gets its answer within the budget, the log has one line,
//! the server sends nothing twice, and its memory does not grow.

use super::GatewayKind;
use crate::support::prelude::*;

/// Log text for a message that may have been sent.
const NO_ANSWER: &str = "no answer in time";
const AMBIGUOUS: &str = "Ambiguous";
const CONFIGURATION: &str = "Configuration";
const RETRY: &str = "Retry";

/// The provider's behaviour and its error class. The server retries only messages that were surely not sent.
const TROUBLES: &[(Act, &str)] = &[
    (Act::Hang, NO_ANSWER),
    (Act::CloseAtOnce, AMBIGUOUS),
    (Act::CloseAfterRequest, AMBIGUOUS),
    (Act::Reset, AMBIGUOUS),
    // Not HTTP.
    (Act::Say("SSH-2.0-OpenSSH_9.6\r\n\r\n"), AMBIGUOUS),
    (Act::Say("\0\0\0\0\u{1}\u{2}\u{3}"), AMBIGUOUS),
    (Act::Say("HTTP/9.9 200 OK\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 2OO OK\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"), AMBIGUOUS),
    (Act::Flood("", "x"), AMBIGUOUS),
    (Act::Drip("HTTP/1.1 200 ", "x"), NO_ANSWER),
    // Endless heads, slow and fast.
    (Act::Drip("HTTP/1.1 200 OK\r\nX-Slow: ", "x"), NO_ANSWER),
    (Act::Drip("HTTP/1.1 200 OK\r\n", "X: y\r\n"), NO_ANSWER),
    (Act::Flood("HTTP/1.1 200 OK\r\nX-Long: ", "x"), AMBIGUOUS),
    (Act::Flood("HTTP/1.1 200 OK\r\n", "X-Many: y\r\n"), AMBIGUOUS),
    // Endless interim answers, slow.
    (Act::Drip("", "HTTP/1.1 100 Continue\r\n\r\n"), AMBIGUOUS),
    (
        Act::SayAndStay("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        AMBIGUOUS,
    ),
    // Endless bodies.
    (Act::Drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x"), NO_ANSWER),
    (Act::Drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), NO_ANSWER),
    (Act::Flood("HTTP/1.1 200 OK\r\n\r\n", "x"), AMBIGUOUS),
    (Act::Flood("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "x"), AMBIGUOUS),
    (Act::Flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "8\r\nxxxxxxxx\r\n"), AMBIGUOUS),
    (Act::Flood("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n", "8\r\nxxxxxxxx\r\n"), AMBIGUOUS),
    // A body that would be large if unpacked. The server did not ask for compression, and unpacks nothing.
    (Act::Flood("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "\u{1f}\u{0}\u{0}"), AMBIGUOUS),
    // Wrong lengths.
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"sid\":"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nx"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx"), AMBIGUOUS),
    // Unexpected successes, and redirects to itself.
    (Act::Say("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 204 No Content\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 304 Not Modified\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), AMBIGUOUS),
    (Act::Say("HTTP/1.1 307 Again\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), CONFIGURATION),
    (Act::Say("HTTP/1.1 308 Again\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), CONFIGURATION),
    // Errors with a page of a proxy. `crates/gateway/src/provider/tests/classify.rs` has the class of each status.
    (Act::Say("HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\n<html"), CONFIGURATION),
    (Act::Say("HTTP/1.1 429 Busy\r\nRetry-After: soon\r\nContent-Length: 5\r\n\r\n<html"), RETRY),
    (Act::Say("HTTP/1.1 429 Busy\r\nRetry-After: -5\r\nContent-Length: 5\r\n\r\n<html"), RETRY),
    (Act::Say("HTTP/1.1 503 Oh\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\n<html"), AMBIGUOUS),
];

/// Far more than 64 KiB of an answer plus what the allocator keeps; far less than what floods send.
const MEMORY_GROWS_BY_AT_MOST: u64 = 48 * 1024 * 1024;

#[tokio::test]
async fn whatever_a_provider_does_the_client_gets_its_answer() {
    let kind = GatewayKind::TwilioMessages;
    let raw = Raw::start().await;
    let setup = |budget| Setup::new().config("send-budget", budget).config("bounds.breaker-failures", 1000);
    let base = format!("http://{}", raw.address);
    // The patient server tries what ends by itself; the impatient one soon cuts off what does not.
    let patient = kind.at(&base, setup("30s")).start().await;
    let impatient = kind.at(&base, setup("500ms")).start().await;
    let before = [patient.peak_memory(), impatient.peak_memory()];
    let numbers = Numbers::default();
    let mut unexpected = Vec::new();
    for (act, class) in TROUBLES {
        raw.act(*act);
        let server = if act.ends() { &patient } else { &impatient };
        let (asked, said) = (raw.requests(), classes(server).len());
        server.client.send(&numbers.next()).await.expects(failed());
        let asked = raw.requests() - asked;
        // The server writes the log after it has answered. A connection that ends at once brings no request.
        let least = said + asked.max(1);
        let what = format!("{act:?}: {least} lines in the log");
        let lines = until(&what, || async { classes(server) }, |lines| lines.len() >= least).await;
        let said = &lines[said..];
        let once = if *class == RETRY { 2 } else { 1 };
        let fits = |said: &String| said == class || !act.ends() && said == NO_ANSWER;
        if asked > once || said.len() > once || !said.iter().all(fits) {
            unexpected.push(format!("{act:?}: {asked} requests, {said:?} in place of {class}"));
        }
        // The server drops an endless exchange.
        until(&format!("{act:?}: its end"), || async { raw.open() }, |open| *open == 0).await;
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    for (server, before) in [&patient, &impatient].into_iter().zip(before) {
        let grown = server.peak_memory() - before;
        println!("{} MiB were thrown at it, memory grew by {} KiB", raw.bytes() >> 20, grown >> 10);
        assert!(grown < MEMORY_GROWS_BY_AT_MOST, "{grown} bytes");
    }
}

/// The error classes of messages that no gateway accepted, one for each log line.
pub fn classes(server: &Server) -> Vec<String> {
    let class = |event: &Value| event["class"].as_str().unwrap_or(NO_ANSWER).to_owned();
    failures(server).iter().map(class).collect()
}

/// The log lines about messages that no gateway accepted.
pub fn failures(server: &Server) -> Vec<Value> {
    let mut events = server.output().events();
    events.retain(|event| {
        let is_about_a_message = event.get("gateway").is_some() && event.get("channel").is_some();
        is_about_a_message && (event["level"] == "WARN" || event["level"] == "ERROR")
    });
    events
}
