//! Providers that send interim answers as fast as the line takes them: the HTTP library skips those without a
//! pause, so whoever shares its threads waits.

use super::kinds::Kind;
use super::raw::{Act, Raw};
use crate::support::documented::{incorrect, sent};
use crate::support::{Numbers, Setup, until};

const CONTINUE: Act = Act::Flood("", "HTTP/1.1 100 Continue\r\n\r\n");

/// More floods than the program has threads, for longer than the checks take: their time is 20 s.
#[tokio::test]
async fn while_providers_flood_their_connections_codes_are_checked() {
    let floods = 1 + std::thread::available_parallelism().expect("a number of processors").get();
    let raw = Raw::start().await;
    raw.act(Act::SayAndStay(Kind::TwilioMessages.accepts()));
    let setup = Setup::new().config("send-budget", "20s");
    let server = Kind::TwilioMessages.at(&format!("http://{}", raw.address), setup).start().await;
    let numbers = Numbers::default();
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));

    raw.act(CONTINUE);
    let sends: Vec<_> = (0..floods)
        .map(|_| {
            let (client, to) = (server.client.clone(), numbers.next());
            tokio::spawn(async move { client.try_send(&to).await.is_ok() })
        })
        .collect();
    until("every flood", || async { raw.requests() }, |requests| *requests == 1 + floods).await;
    for trials in (1..=4).rev() {
        server.client.verify(&number, "no code").await.expects(incorrect(&number, trials));
    }
    assert!(!sends.iter().any(tokio::task::JoinHandle::is_finished), "the checks came first");
    server.kill();
    for send in sends {
        assert!(!send.await.expect("it ends"), "nobody was told anything");
    }
}
