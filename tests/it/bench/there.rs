//! Against a server that is there already.

use super::{bench, expect_sound};
use crate::support::{ACCOUNT_SID, AUTH_TOKEN, SENDER, Setup};

/// A free port, a moment ago: whoever is Twilio and whoever asks it must both know it before either starts.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// A server that takes this address for Twilio's.
fn sends_through(twilio: &str) -> Setup {
    Setup::new()
        // The log of a server under load is long, and the test keeps all of it.
        .config("log-level", "info")
        .env("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
        .env("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        .env("TWILIO_PHONE_NUMBER", SENDER)
        .env("TWILIO_BASE_URL", format!("http://{twilio}"))
}

#[tokio::test]
async fn a_server_that_speaks_the_contract_is_measured_where_it_is() {
    let twilio = free_address();
    let server = sends_through(&twilio).start().await;
    let url = format!("http://{}", server.client.address());
    let more = ["--target", &url, "--gateway-listen", &twilio, "--workload", "wrong-codes"];
    let (results, finished) = bench(&Setup::bare(), &more).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert_eq!(results.servers.len(), 1);
    let there = &results.servers[0];
    assert_eq!(there.name, server.client.address().to_string());
    expect_sound(&there.windows[0], &["send", "check, wrong code", "check, wrong code that locks"]);
    assert_eq!((there.ready_ms, there.windows[0].cpu_us), (None, None), "nobody said which process it is");
}

#[tokio::test]
async fn answers_as_built_are_expected_when_they_were_named() {
    let twilio = free_address();
    let server = sends_through(&twilio).config("redis-version-answers", "as-built").start().await;
    let url = format!("http://{}", server.client.address());
    let more = ["--target", &url, "--gateway-listen", &twilio, "--workload", "mix", "--answers", "as-built"];
    let (results, finished) = bench(&Setup::bare(), &more).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert!(results.servers[0].windows[0].kinds.iter().all(|kind| kind.unexpected == 0));
}

#[tokio::test]
async fn a_server_that_sends_elsewhere_is_asked_for_one_message_and_no_more() {
    // Without credentials of Twilio the simulator takes the messages.
    let server = Setup::new().start().await;
    let url = format!("http://{}", server.client.address());
    let arguments = ["bench", "--target", &url, "--gateway-listen", &free_address()].map(str::to_owned);
    let finished = Setup::bare().command(arguments).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("no text arrived at the double"), "{}", finished.output);
    let sent = server.output().events().iter().filter(|event| event["message"] == "message accepted").count();
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn answers_of_the_other_kind_are_told_from_a_wrong_base_url() {
    let twilio = free_address();
    let server = sends_through(&twilio).start().await;
    let url = format!("http://{}", server.client.address());
    let arguments =
        ["bench", "--target", &url, "--gateway-listen", &twilio, "--answers", "as-built"].map(str::to_owned);
    let finished = Setup::bare().command(arguments).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("which --answers documented expects"), "{}", finished.output);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    // Connections are taken by the kernel, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let arguments = ["bench", "--target", &url, "--gateway-listen", &free_address()].map(str::to_owned);
    let finished = Setup::bare().command(arguments).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("gave no answer within 15 s"), "{}", finished.output);
}
