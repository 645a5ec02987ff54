//! Connections that the provider closes during or just before their next use.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::GatewayKind;
use crate::support::prelude::*;

const EASILY_PLEASED: [GatewayKind; 2] = [GatewayKind::TwilioMessages, GatewayKind::Http];

const SENDS: usize = 200;

#[tokio::test]
async fn a_connection_that_was_closed_while_it_was_idle_fails_no_send() {
    for kind in EASILY_PLEASED {
        let (raw, server) = provider(kind).await;
        // The provider does not announce that it will close.
        raw.act(Act::Say(kind.accepts()));
        let numbers = Numbers::default();
        for round in 1..=20 {
            let number = numbers.next();
            server.client.send(&number).await.expects(sent(&number, 5));
            until("the end of the connection", || async { raw.open() }, |open| *open == 0).await;
            assert_eq!(raw.requests(), round, "{kind:?}");
        }
    }
}

/// A request that was read once is sent once, whatever the kept connection does afterwards. Repeating it on another
/// connection, as browsers do, would send a second message.
#[tokio::test]
async fn a_request_is_not_repeated_when_its_kept_connection_ends_unanswered() {
    for kind in EASILY_PLEASED {
        for end in [Act::CloseAfterRequest, Act::Reset, Act::Say("HTTP/1.1 "), Act::Say("\r\n\r\n")] {
            let (raw, server) = provider(kind).await;
            raw.act(Act::SayAndStay(kind.accepts()));
            let numbers = Numbers::default();
            let first = numbers.next();
            server.client.send(&first).await.expects(sent(&first, 5));
            raw.act(end);
            let number = numbers.next();
            server.client.send(&number).await.expects(failed());
            assert_eq!((raw.connections(), raw.requests()), (1, 2), "{kind:?}, {end:?}");
            // The server does not use the connection again.
            raw.act(Act::SayAndStay(kind.accepts()));
            let third = numbers.next();
            server.client.send(&third).await.expects(sent(&third, 5));
            assert_eq!((raw.connections(), raw.requests()), (2, 3), "{kind:?}, {end:?}");
        }
    }
}

/// The provider closes around the time of the next request: some sends fail, because they may or may not have arrived.
/// No message arrives twice, and each that the server calls sent has arrived.
#[tokio::test]
async fn a_connection_that_is_closed_just_as_it_is_used_sends_nothing_twice() {
    let seed = from_environment("KEEP_ALIVE_SEED", std::process::id().into());
    let sends = from_environment("KEEP_ALIVE_SENDS", SENDS);
    println!("KEEP_ALIVE_SEED={seed} KEEP_ALIVE_SENDS={sends}");
    let mut random = StdRng::seed_from_u64(seed);
    for kind in EASILY_PLEASED {
        let (raw, server) = provider(kind).await;
        let numbers = Numbers::default();
        let mut told = Vec::new();
        for _ in 0..sends {
            let moment = Duration::from_micros(random.random_range(0..2_000));
            raw.act(Act::SayThenClose(kind.accepts(), moment));
            let number = numbers.next();
            told.push((number.clone(), server.client.send(&number).await.status()));
        }
        let texts = raw.texts();
        for (number, status) in &told {
            // A form escapes the plus.
            let arrived = texts.iter().filter(|text| text.contains(&number[1..])).count();
            match status {
                200 => assert_eq!(arrived, 1, "{kind:?}: {number}"),
                500 => assert!(arrived <= 1, "{kind:?}: {number} arrived {arrived} times"),
                other => panic!("{kind:?}: {other}"),
            }
        }
        let failed = told.iter().filter(|(_, status)| *status != 200).count();
        println!("{kind:?}: {sends} sends on {} connections, {failed} failed", raw.connections());
    }
}

async fn provider(kind: GatewayKind) -> (Raw, Server) {
    let raw = Raw::start().await;
    let setup = Setup::new().config("bounds.breaker-failures", 1000);
    let server = kind.at(&format!("http://{}", raw.address), setup).start().await;
    (raw, server)
}
