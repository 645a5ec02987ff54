//! Misbehaving providers: the client gets its answer within the budget, the log has one line,
//! the server sends nothing twice, and its memory does not grow.

use onceward::gateway::double::{Double, Reply as Raw};

use crate::support::prelude::*;

/// Log text for a message that may have been sent.
const NO_ANSWER: &str = "no answer in time";
const AMBIGUOUS: &str = "Ambiguous";

type Act = fn(String) -> Raw;

/// What the provider does, with which bytes, and its error class. The tests of `crates/gateway` have every status, and
/// answers that end too early.
const TROUBLES: &[(Act, &str, &str)] = &[
    (Raw::Silence, "", NO_ANSWER),
    (Raw::BytesThenClose, "", AMBIGUOUS),
    (|_| Raw::Reset, "", AMBIGUOUS),
    // Not HTTP.
    (Raw::BytesThenClose, "\0\0\0\0\u{1}\u{2}\u{3}", AMBIGUOUS),
    (Raw::BytesThenClose, "HTTP/9.9 200 OK\r\n\r\n", AMBIGUOUS),
    (Raw::BytesThenClose, "HTTP/1.1 2OO OK\r\n\r\n", AMBIGUOUS),
    (Raw::BytesThenClose, "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", AMBIGUOUS),
    (Raw::Endless, "", AMBIGUOUS),
    // Heads without an end, and interim answers.
    (Raw::Silence, "HTTP/1.1 200 ", NO_ANSWER),
    (Raw::Silence, "HTTP/1.1 200 OK\r\nX-Slow: x", NO_ANSWER),
    (Raw::Endless, "HTTP/1.1 200 OK\r\nX-Long: ", AMBIGUOUS),
    (Raw::Silence, "HTTP/1.1 100 Continue\r\n\r\n", NO_ANSWER),
    (Raw::Bytes, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", AMBIGUOUS),
    // Bodies without an end.
    (Raw::Silence, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx", NO_ANSWER),
    (Raw::Silence, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", NO_ANSWER),
    (Raw::Endless, "HTTP/1.1 200 OK\r\n\r\n", AMBIGUOUS),
    (Raw::Endless, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", AMBIGUOUS),
    (Raw::Endless, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", AMBIGUOUS),
    (Raw::Endless, "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", AMBIGUOUS),
    // The server did not ask for compression, and unpacks nothing.
    (Raw::Endless, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\u{1f}\u{0}", AMBIGUOUS),
    // Wrong lengths.
    (Raw::BytesThenClose, "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nx", AMBIGUOUS),
    (Raw::BytesThenClose, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", AMBIGUOUS),
    (
        Raw::BytesThenClose,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        AMBIGUOUS,
    ),
];

/// Far more than 64 KiB of an answer plus what the allocator keeps; far less than what an endless answer brings.
const MIB_AT_MOST: u64 = 48;

#[tokio::test]
async fn whatever_a_provider_does_the_client_gets_its_answer() {
    let script = TROUBLES.iter().map(|(act, bytes, _)| act((*bytes).to_owned()));
    let mut provider = Double::playing(script).await;
    let setup = |budget| {
        let setup = Setup::new().config("send-budget", budget).config("bounds.breaker-failures", 1000);
        through(&provider.base_url(), setup)
    };
    // The patient server is told what ends by itself; the impatient one soon gives up the rest.
    let (patient, impatient) = (setup("30s").start().await, setup("500ms").start().await);
    let before = [patient.memory_mib("VmHWM"), impatient.memory_mib("VmHWM")];
    let numbers = Numbers::default();
    for (_, bytes, class) in TROUBLES {
        let server = if *class == NO_ANSWER { &impatient } else { &patient };
        let said = classes(server).len();
        server.client.send(&numbers.next()).await.expects(failed());
        // The server writes the log after it has answered.
        let what = format!("a line about {bytes:?}");
        let lines = until(&what, || async { classes(server) }, |lines| lines.len() > said).await;
        assert_eq!(lines[said..], [*class], "{bytes:?}");
    }
    assert_eq!(provider.further_requests().len(), TROUBLES.len(), "nothing is sent again: it may have left");
    for (server, before) in [&patient, &impatient].into_iter().zip(before) {
        let grown = server.memory_mib("VmHWM") - before;
        assert!(grown < MIB_AT_MOST, "{grown} MiB");
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
