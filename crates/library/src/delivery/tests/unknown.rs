//! Gateways that do not say whether they took the message.

use super::DOUBT;
use super::gateways::{accepted, down, error, hanging};
use super::world::{Ended, Setup, World, failed, failure, secs, taken};
use crate::delivery::SendStatus;
use crate::delivery::error::Failure;
use crate::domain::Channel::Sms;
use crate::domain::GatewayName::{self, Http, Mada, Sinch, TwilioMessages};
use crate::domain::Held;
use crate::engine::{PossiblySent, SendResult};
use crate::gateway::ErrorClass;

const BOTH: &str = "Mada;Http";

fn held_by(ended: &Ended) -> Option<Held> {
    match ended.result {
        SendResult::Failed { may_have_been_sent: Some(PossiblySent { held }) } => held,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_gateway_gets_the_same_code_at_once_or_after_half_of_the_time() {
    for (answer, at) in [(error(DOUBT), 0), (down(DOUBT), 0), (hanging(), 5_000)] {
        let world = Setup::routing(BOTH).build().and(Mada, [answer]).and(Http, [accepted("H1")]);
        assert_eq!(world.requests().await, taken("H1"));
        assert_eq!(world.sent_at(), [0, at]);
        let sent = world.sent();
        assert_eq!(sent[0].code, sent[1].code);
        assert_eq!(world.times_asked(), 1, "the first message may have arrived, and its code may be used");
        let rows: Vec<_> = world.rows().into_iter().map(|row| (row.gateway, row.status)).collect();
        assert_eq!(rows, [(Mada, SendStatus::GatewayError), (Http, SendStatus::Sent)]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_gateway_but_the_last_gets_half_of_the_remaining_time() {
    let world = Setup::routing("Mada;Http;Twilio").build().and(Mada, [hanging()]).and(Http, [hanging()]);
    let world = world.and(TwilioMessages, [accepted("SM3").after_ms(2_400)]);
    assert_eq!(world.requests().await, taken("SM3"));
    assert_eq!((world.sent_at(), world.elapsed_ms()), (vec![0, 5_000, 7_500], 9_900));
    let world = Setup::routing(BOTH).build().and(Mada, [hanging()]).and(Http, [hanging()]);
    assert_eq!(failure(world.requests().await), failed(Failure::NoAnswerInTime));
    assert_eq!(world.elapsed_ms(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn the_last_gateway_gets_all_of_the_remaining_time() {
    let slow = || accepted("SM").after_ms(9_000);
    for routing in ["Mada", BOTH] {
        let setup = Setup::routing(routing).with_breaker(1);
        let has_next = routing == BOTH;
        let world = setup.build();
        if has_next {
            // The circuit of the other one is open.
            world.gateway(Mada).answers([error(ErrorClass::Refused)]);
            world.gateway(Http).answers([down(DOUBT)]);
            world.requests().await;
        }
        world.gateway(Mada).answers([slow()]);
        assert_eq!(world.requests().await, taken("SM"), "{routing}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_refusal_tells_the_reason_and_the_code_stays_good() {
    for (class, reason) in [
        (ErrorClass::BadNumber, Failure::BadNumber),
        (ErrorClass::OptedOut, Failure::OptedOut),
        (ErrorClass::NotReachableHere, Failure::NotReachable),
        (ErrorClass::Fraud, Failure::Blocked),
        (ErrorClass::Refused, Failure::Gateway),
    ] {
        let world = Setup::routing(BOTH).build().and(Mada, [error(DOUBT)]).and(Http, [error(class)]);
        let ended = world.requests().await;
        assert_eq!((held_by(&ended), ended.reason), (None, Some(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_message_that_may_have_left_says_who_holds_the_code() {
    let sinch = Some(Held { by: Sinch, channel: Sms });
    for (routing, first, second, held) in
        [("Sinch;Http", Sinch, Http, None), ("Http;Sinch", Http, Sinch, sinch)]
    {
        let world = Setup::routing(routing).build().and(first, [error(DOUBT)]).and(second, [error(DOUBT)]);
        assert_eq!(held_by(&world.requests().await), held, "{routing}");
        let world = Setup::routing(routing).build().and(first, [error(DOUBT)]).and(second, [accepted("2")]);
        let accepted = SendResult::Accepted { message_id: "2".to_owned(), held };
        assert_eq!(world.requests().await, accepted, "{routing}");
    }
    let world = Setup::routing("Sinch;Http").build();
    let world = world.and(Sinch, [error(DOUBT)]).and(Http, [error(ErrorClass::Refused)]);
    assert_eq!(held_by(&world.requests().await), sinch);
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_a_code_is_asked_first_and_others_begin_a_new_one() {
    let held = |by| Some(Held { by, channel: Sms });
    let asks = async |world: World, by: GatewayName| {
        let mut job = world.job();
        job.permitted.permit.verification.held = held(by);
        let ended = world.run(job).await;
        (ended.result, world.asked().into_iter().map(|(gateway, _)| gateway).collect::<Vec<_>>())
    };
    let world = Setup::routing("Mada;Sinch").build().and(Sinch, [accepted("S1")]);
    let repeated = SendResult::Accepted { message_id: "S1".to_owned(), held: held(Sinch) };
    assert_eq!(asks(world, Sinch).await, (repeated, vec![Sinch]));
    let world = Setup::routing("Mada;Sinch").build().and(Sinch, [hanging()]).and(Mada, [accepted("M1")]);
    assert_eq!(asks(world, Sinch).await, (taken("M1"), vec![Sinch, Mada]));
}

#[tokio::test(start_paused = true)]
async fn with_retries_it_is_repeated_in_the_background() {
    let world = Setup::routing(BOTH).with_retry().build();
    let world = world.and(Mada, [hanging(), error(DOUBT)]).and(Http, [error(DOUBT), accepted("H2")]);
    let first = world.requests().await;
    assert!(matches!(first.result, SendResult::Postponed { may_have_been_sent: Some(_), .. }), "{first:?}");
    assert_eq!(world.follows_up().await, taken("H2"));
    let sent = world.sent();
    assert!(sent.len() == 4 && sent.iter().all(|message| message.code == sent[0].code));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_have_left_is_unsendable_only_after_its_retries() {
    let setup = Setup { life: secs(1), ..Setup::routing("Mada").with_retry() };
    let world = setup.build().and(Mada, [error(DOUBT).after_ms(900)]);
    assert_eq!(held_by(&world.requests().await), None);
    assert_eq!(world.rows()[0].status, SendStatus::GatewayError, "no retry fits the life of the code");
}
