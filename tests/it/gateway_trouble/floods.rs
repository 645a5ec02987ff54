//! Providers that send interim answers as fast as the line takes them: the HTTP library skips those without a
//! pause, so whoever shares its threads would wait. They are interrupted, and after a while listened to no more.

use super::kinds::Kind;
use super::raw::{Act, Raw};
use crate::support::documented::{failed, incorrect, sent};
use crate::support::{Numbers, Setup, until};

const CONTINUE: Act = Act::Flood("", "HTTP/1.1 100 Continue\r\n\r\n");

/// More floods than the program has threads, each of which could go on for 20 s.
#[tokio::test]
async fn while_providers_flood_their_connections_codes_are_checked_and_the_floods_come_to_an_end() {
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
            tokio::spawn(async move { client.send(&to).await })
        })
        .collect();
    until("every flood", || async { raw.requests() }, |requests| *requests == 1 + floods).await;
    for trials in (1..=4).rev() {
        server.client.verify(&number, "no code").await.expects(incorrect(&number, trials));
    }
    for send in sends {
        send.await.expect("an answer").expects(failed());
    }
}
