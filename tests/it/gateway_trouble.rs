//! Misbehaving providers, and ones that the server cannot reach, or not safely: the client gets its answer within the
//! budget, the log has one line, the server sends nothing twice, and its memory does not grow.

use std::path::PathBuf;
use std::sync::Arc;

use onceward::gateway::double::{Double, Reply as Raw};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

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
    (Raw::Endless, "", AMBIGUOUS),
    // Heads without an end, and interim answers.
    (Raw::Silence, "HTTP/1.1 200 OK\r\nX-Slow: x", NO_ANSWER),
    (Raw::Endless, "HTTP/1.1 200 OK\r\nX-Long: ", AMBIGUOUS),
    (Raw::Silence, "HTTP/1.1 100 Continue\r\n\r\n", NO_ANSWER),
    (Raw::Bytes, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", AMBIGUOUS),
    // Bodies without an end.
    (Raw::Silence, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx", NO_ANSWER),
    (Raw::Endless, "HTTP/1.1 200 OK\r\n\r\n", AMBIGUOUS),
    (Raw::Endless, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", AMBIGUOUS),
    (Raw::Endless, "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", AMBIGUOUS),
    // The server did not ask for compression, and unpacks nothing.
    (Raw::Endless, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\u{1f}\u{0}", AMBIGUOUS),
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
    let (patient, impatient) = (setup("30s").start().await, setup("1s").start().await);
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

#[tokio::test]
async fn a_proxy_in_the_environment_sees_no_plain_http_and_no_local_requests() {
    let proxy = Receiver::start().await;
    let proxied = || {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
        let patient = Setup::new().config("send-budget", "20s");
        names.iter().fold(patient, |setup, name| setup.env(name, proxy.base_url()))
    };
    World::of(proxied()).await.number_with_message().await;
    assert!(proxy.received().is_empty());
    // The proxy is for encrypted requests to other hosts.
    let server = through("https://onceward.invalid", proxied()).start().await;
    server.client.send(&Numbers::default().next()).await.expects(failed());
    assert!(!proxy.received().is_empty(), "docs/internals/http.md");
}

const HANGS: &str = "provider.example";

/// Many more than the server looks up at once.
const SENDS: usize = 200;

/// `LOOK_UPS` in `crates/gateway/src/egress.rs`.
const AT_ONCE: u64 = 32;

#[tokio::test]
async fn a_hung_resolver_keeps_sends_within_their_budget_and_codes_are_checked() {
    let twilio = Twilio::start().await;
    let setup = Setup::new().config("send-budget", "3s").config("bounds.breaker-failures", 1000);
    let gateways = json!({ "hung": vonage(&format!("http://{HANGS}")) });
    let setup = through(&twilio.base_url(), setup).config("gateways", gateways);
    // Numbers of one prefix use another gateway, which needs no lookup.
    let (hung, setup) = Hung::over(setup.config("otp-sms-provider", "hung;Twilio:+35988"));
    let server = setup.start().await;
    let (number, numbers) = ("+359881234567", Numbers::default());
    server.client.send(number).await.expects(sent(number, 5));
    let code = twilio.code_for(number);
    let threads_before = threads(&server);

    let sends: Vec<_> = (0..SENDS).map(|_| server.client.begin_send(&numbers.next())).collect();
    until("as many look-ups as there may be", || async { hung.look_ups() }, |n| *n == AT_ONCE).await;
    for trials in (1..=4).rev() {
        server.client.verify(number, "no code").await.expects(incorrect(number, trials));
    }
    server.client.verify(number, &code).await.expects(verified(number));
    for send in sends {
        send.await.expect("an answer").expects(failed());
    }
    assert_eq!(hung.look_ups(), AT_ONCE, "the others never began");
    // The other gateway and the store still work.
    server.client.send(number).await.expects(sent(number, 5));
    let more = threads(&server).saturating_sub(threads_before);
    assert!(more <= usize::try_from(AT_ONCE).unwrap() + 8, "{more} threads more");
    let lines = until("a line for each", || async { classes(&server) }, |said| said.len() >= SENDS).await;
    assert_eq!(lines.len(), SENDS);
    hung.ends();
    // Waiting sends get an answer, and the threads become free.
    server.client.send(&numbers.next()).await.expects(failed());
    let why = "failed to lookup address";
    let is_said = |event: &Value| event["detail"].as_str().is_some_and(|detail| detail.contains(why));
    server.event(why, is_said).await;
}

#[tokio::test]
async fn a_provider_with_a_certificate_of_ssl_cert_files_authority_is_trusted() {
    let (provider, authority) = (Twilio::start().await, Authority::new());
    let setup = Setup::new().config("send-budget", "20s").config("bounds.breaker-failures", 1000);
    let alone = through(&format!("https://localhost:{}", provider.address().port()), setup);
    let trusting = alone.clone().file("authority.pem", &authority.pem).env("SSL_CERT_FILE", "authority.pem");
    let server = trusting.start().await;
    let numbers = Numbers::default();
    let good = accepting(authority.issue());
    provider.encrypt(good.clone());
    for _ in 0..2 {
        let number = numbers.next();
        server.client.send(&number).await.expects(sent(&number, 5));
    }
    // Trust in an earlier certificate does not extend to a later server at the same address.
    for (issued, why) in [
        (authority.issue_to(&["localhost"], 2019..2020), ": certificate expired"),
        (authority.issue_to(&["other.example"], 2020..2090), ": certificate not valid for name"),
        (Authority::new().issue(), ""),
    ] {
        provider.encrypt(accepting(issued));
        let why = format!("invalid peer certificate{why}");
        is_told_nothing(&provider, &server, &numbers.next(), &why).await;
    }
    provider.encrypt(good);
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
    drop(server);
    // Without the setting the system's own authorities count, which do not include this one.
    let server = alone.start().await;
    is_told_nothing(&provider, &server, &numbers.next(), "UnknownIssuer").await;
}

#[tokio::test]
async fn without_trusted_authorities_the_program_says_so_and_does_not_start() {
    let setup = Setup::new().file("empty.pem", "").env("SSL_CERT_FILE", "empty.pem");
    through("https://localhost:1", setup).run().await.says(["no trusted root certificates"]);
}

/// The error classes of messages that no gateway accepted, one for each log line.
fn classes(server: &Server) -> Vec<String> {
    let class = |event: &Value| event["class"].as_str().unwrap_or(NO_ANSWER).to_owned();
    failures(server).iter().map(class).collect()
}

/// The log lines about messages that no gateway accepted.
fn failures(server: &Server) -> Vec<Value> {
    let mut events = server.output().events();
    events.retain(|event| {
        let is_about_a_message = event.get("gateway").is_some() && event.get("channel").is_some();
        is_about_a_message && (event["level"] == "WARN" || event["level"] == "ERROR")
    });
    events
}

struct Hung {
    file: PathBuf,
}

impl Hung {
    fn over(setup: Setup) -> (Self, Setup) {
        let file = setup.home().join("look_ups");
        std::fs::write(&file, "").expect("write a file for the test");
        let path = file.to_str().expect("a path in UTF-8").to_owned();
        (Self { file }, setup.preload("resolver.c").env("HANG_NAME", HANGS).env("HANG_FILE", path))
    }

    /// The number of lookups that have begun to hang.
    fn look_ups(&self) -> u64 {
        std::fs::metadata(&self.file).expect("the file of the test").len()
    }

    fn ends(&self) {
        std::fs::remove_file(&self.file).expect("remove a file of the test");
    }
}

fn threads(server: &Server) -> usize {
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    std::fs::read_dir(tasks).expect("the program runs").count()
}

/// Speaks TLS with this certificate.
fn accepting(Issued { key, der, .. }: Issued) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![der], key);
    TlsAcceptor::from(Arc::new(config.expect("settings of TLS")))
}

async fn is_told_nothing(provider: &Twilio, server: &Server, number: &str, why: &str) {
    let (told, said) = (provider.received().len(), failures(server).len());
    server.client.send(number).await.expects(failed());
    assert_eq!(provider.received().len(), told, "{why}");
    // No code is in flight: none can be right.
    server.client.verify(number, "123456").await.expects(incorrect(number, 5));
    // A line about the message before may come late.
    let is_said = |line: &Value| text(line, "detail").contains(why);
    let lines = until(why, || async { failures(server) }, |lines| lines[said..].iter().any(is_said)).await;
    // The message was surely not sent.
    assert!(lines[said..].iter().all(|line| text(line, "class") == "Retry"), "{lines:?}");
}
