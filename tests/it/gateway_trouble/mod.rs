//! A gateway that refuses, hangs, resets or answers nonsense.

mod answers;
mod certified;
mod held_checks;
mod hung_resolver;
mod keep_alive;
mod kinds;
mod out_of_reach;
mod raw;
mod tls;

use serde_json::json;

use crate::support::documented::{failed, incorrect, sent, verified};
use crate::support::{Reply, World, wrong};

#[tokio::test]
async fn whatever_the_gateway_does_the_count_stays_as_it_was() {
    let world = World::with([("send-budget", json!("1s"))]).await;
    for trouble in TROUBLES {
        let (number, code) = world.number_with_code().await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.twilio.plan(&number, [trouble; 64]);
        world.send(&number).await.expects(failed());
        world.verify(&number, "no code").await.expects(incorrect(&number, 3));
    }
}

#[tokio::test]
async fn the_code_of_a_send_with_an_unknown_end_is_good() {
    let world = World::with([("send-budget", json!("1s"))]).await;
    for trouble in [Reply::Hang, Reply::Reset, Reply::CutShort, Reply::NotJson, Reply::ServerError(500)] {
        let number = world.number();
        world.twilio.plan(&number, [trouble; 64]);
        world.send(&number).await.expects(failed());
        let code = world.twilio.code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn while_the_gateway_hangs_other_numbers_verify() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let slow = world.number();
    world.twilio.plan(&slow, [Reply::Hang]);
    let client = world.server.client.clone();
    let hanging = tokio::spawn({
        let slow = slow.clone();
        async move { client.send(&slow).await }
    });
    world.twilio.arrived(2).await;

    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    world.verify(&number, &code).await.expects(verified(&number));
    world.verify(&slow, "no code").await.expects(incorrect(&slow, 4));
    assert!(!hanging.is_finished(), "the send waits for the gateway");

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&slow, 4));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_send() {
    let world = World::new().await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Hang]);
    let (client, to) = (world.server.client.clone(), number.clone());
    let impatient = tokio::spawn(async move { client.try_send(&to).await });
    world.twilio.arrived(1).await;
    impatient.abort();
    let _ = impatient.await;
    world.twilio.release();

    let code = world.twilio.code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

/// All troubles that say nothing about the number.
const TROUBLES: [Reply; 8] = [
    Reply::Refuse { status: 400, code: 21606 },
    Reply::Busy,
    Reply::ServerError(500),
    Reply::ServerError(503),
    Reply::NotJson,
    Reply::CutShort,
    Reply::Reset,
    Reply::Hang,
];
