//! Gateways that do not say whether they took the message.

use super::*;

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
    assert_eq!(world.requests().await, Failure::NoAnswerInTime);
    assert_eq!(world.elapsed_ms(), 10_000);
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
        assert_eq!((ended.held_by(), ended.reason), (None, Some(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_message_that_may_have_left_says_who_holds_the_code() {
    let sinch = |channel| Some(Held { by: Sinch, channel });
    for (routing, first, second, held) in
        [("Sinch;Http", Sinch, Http, None), ("Http;Sinch", Http, Sinch, sinch(Sms))]
    {
        let world = || Setup::routing(routing).build().and(first, [error(DOUBT)]);
        let in_doubt = world().and(second, [error(DOUBT)]).requests().await;
        assert_eq!(in_doubt.held_by(), held, "{routing}");
        let taken = world().and(second, [accepted("2")]).requests().await;
        assert_eq!(taken, accepted_by(held, "2"), "{routing}");
    }
    let world = Setup::routing("Sinch;Http").build();
    let world = world.and(Sinch, [error(DOUBT), hanging()]).and(Http, [error(ErrorClass::Refused)]);
    assert_eq!(world.requests().await.held_by(), sinch(Sms));
    assert_eq!(world.requests_by(Call).await.held_by(), sinch(Call));
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_a_code_is_asked_first_and_others_begin_a_new_one() {
    let held = Some(Held { by: Sinch, channel: Sms });
    let repeats = async |world: &World| {
        let mut job = world.job();
        job.permitted.permit.verification.held = held;
        world.run(job).await
    };
    let world = Setup::routing("Mada;Sinch").build().and(Sinch, [accepted("S1"), hanging()]);
    let world = world.and(Mada, [accepted("M1")]);
    assert_eq!(repeats(&world).await, accepted_by(held, "S1"));
    assert_eq!(repeats(&world).await, taken("M1"));
    assert_eq!(world.asked(), [(Sinch, Sms), (Sinch, Sms), (Mada, Sms)]);
}
