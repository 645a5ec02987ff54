//! Providers whose TLS cannot be trusted: the server sends them nothing, and the log names the fault.

use std::path::Path;

use super::answers::classes;
use super::certified::{Certified, Greeting};
use super::kinds::GatewayKind;
use crate::support::documented::{failed, incorrect, sent};
use crate::support::{Numbers, Server, Setup, until};

const KIND: GatewayKind = GatewayKind::TwilioMessages;

/// The fault, and its log line.
const UNTRUSTWORTHY: [(Greeting, &str); 9] = [
    (Greeting::Expired, "the TLS handshake failed: invalid peer certificate: certificate expired"),
    (Greeting::NotYetValid, "the TLS handshake failed: invalid peer certificate: certificate not valid yet"),
    (
        Greeting::OtherName,
        "the TLS handshake failed: invalid peer certificate: certificate not valid for name",
    ),
    (Greeting::SelfSigned, "the TLS handshake failed: invalid peer certificate"),
    (Greeting::OtherAuthority, "the TLS handshake failed: invalid peer certificate"),
    (Greeting::Plain, "the TLS handshake failed: received corrupt message"),
    (Greeting::Old, "the TLS handshake failed: peer is incompatible"),
    (Greeting::Garbage, "the TLS handshake failed: received corrupt message"),
    (Greeting::Cut, "no connection: unexpected end of file"),
];

#[tokio::test]
async fn a_provider_with_a_certificate_of_ssl_cert_files_authority_is_trusted() {
    let provider = Certified::answering(KIND.accepts()).await;
    let server = trusting(&provider, "20s").start().await;
    let numbers = Numbers::default();
    provider.greet(Greeting::Good);
    for _ in 0..2 {
        let number = numbers.next();
        server.client.send(&number).await.expects(sent(&number, 5));
    }
    // Trust in an earlier certificate does not extend to a later server at the same address.
    for (greeting, why) in UNTRUSTWORTHY {
        is_told_nothing(&provider, &server, &numbers.next(), greeting, why).await;
    }
    provider.greet(Greeting::Good);
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
    // Without the setting the system's own authorities count, which do not include this one. Without any
    // authorities, the program says so and does not start.
    let alone = trusting(&provider, "20s").without_env("SSL_CERT_FILE");
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        let server = alone.start().await;
        is_told_nothing(&provider, &server, &numbers.next(), Greeting::Good, "UnknownIssuer").await;
    } else {
        let finished = alone.run().await;
        assert!(finished.output.contains("no trusted root certificates"), "{}", finished.output);
    }
}

#[tokio::test]
async fn a_hung_handshake_ends_with_the_budget_or_the_connection_time() {
    let provider = Certified::answering(KIND.accepts()).await;
    let numbers = Numbers::default();
    let server = trusting(&provider, "20s").start().await;
    is_told_nothing(&provider, &server, &numbers.next(), Greeting::Silent, "no connection within 3 s").await;
    let server = trusting(&provider, "500ms").start().await;
    server.client.send(&numbers.next()).await.expects(failed());
    let said = until("the log", || async { classes(&server) }, |said| !said.is_empty()).await;
    assert_eq!(said, ["no answer in time"]);
    assert_eq!(provider.requests(), 0);
}

fn trusting(provider: &Certified, budget: &str) -> Setup {
    let setup = Setup::new().config("send-budget", budget).config("breaker-failures", 1000);
    let authority = setup.home().join("authority.pem");
    provider.write_authority(&authority);
    KIND.at(&format!("https://localhost:{}", provider.address.port()), setup)
        .env("SSL_CERT_FILE", authority.to_str().expect("a path in UTF-8"))
}

async fn is_told_nothing(provider: &Certified, server: &Server, number: &str, greeting: Greeting, why: &str) {
    provider.greet(greeting);
    let what = format!("{greeting:?}");
    let (told, reached, said) = (provider.requests(), provider.connections(), details(server).len());
    server.client.send(number).await.expects(failed());
    assert_eq!(provider.requests(), told, "{what}");
    // No code is in flight: none can be right.
    server.client.verify(number, "123456").await.expects(incorrect(number, 5));
    // The message was surely not sent, and the server may try again. It logs each attempt once.
    let attempts = provider.connections() - reached;
    let details =
        until(&what, || async { details(server) }, |details| details.len() >= said + attempts).await;
    assert!(
        (1..=2).contains(&attempts) && details.len() == said + attempts,
        "{what}: {:?}",
        &details[said..]
    );
    for detail in &details[said..] {
        assert!(detail.starts_with("\"Retry\"") && detail.contains(why), "{what}: {detail}");
    }
}

/// The log fields of messages that were not accepted: class and detail.
fn details(server: &Server) -> Vec<String> {
    let events = server.output().events();
    let told = events.iter().filter(|event| event.get("gateway").is_some() && event.get("channel").is_some());
    let told = told.filter(|event| ["WARN", "ERROR"].contains(&event["level"].as_str().unwrap_or_default()));
    told.map(|event| format!("{} {}", event["class"], event["detail"])).collect()
}
