//! The budget, the concurrency limit and the code of one message, and gateways that do not say whether they took it.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_error_ends_it_at_once() {
    for (class, told) in [
        (ErrorClass::BadNumber, "BadNumber"),
        (ErrorClass::NotReachableHere, "NotReachable"),
        (ErrorClass::OptedOut, "OptedOut"),
        (RETRY, "Gateway"),
        (ErrorClass::Configuration, "Gateway"),
        (ErrorClass::Fraud, "Blocked"),
        (ErrorClass::Refused, "Gateway"),
        (DOUBT, "Gateway, maybe sent"),
    ] {
        let world = World::answering([error(class)]);
        assert_eq!((world.requests().await, world.sent_at()), (told.to_owned(), vec![0]), "{class:?}");
        if !told.ends_with("maybe sent") {
            let world = Setup::routing(BOTH).build().and(Mada, [error(DOUBT)]).and(Http, [error(class)]);
            assert_eq!(world.requests().await, format!("{told}, maybe sent"), "the code stays good");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_only_a_code_that_is_known_to_be_good_is_sent() {
    for (happens, told) in [
        ((|_| {}) as fn(&World), "SM2"),
        (|world| world.code_is(Some(Err(Failure::NoLongerUsable))), "NoLongerUsable"),
        (|world| world.code_is(Some(Err(Failure::StateUnknown))), "StateUnknown"),
        (|world| world.code_is(None), "TimedOutWaiting"),
        (World::loses_lease, "StateUnknown"),
    ] {
        let world = World::with_places(1, 10, [accepted("SM1").after_ms(2_000), accepted("SM2")]);
        let meanwhile = async {
            sleep(secs(1)).await;
            happens(&world);
        };
        let (first, second, ()) = tokio::join!(world.requests(), world.requests(), meanwhile);
        assert_eq!((&*first, &*second), ("SM1", told));
        assert_eq!(world.sent_at(), if told == "SM2" { vec![0, 2_000] } else { vec![0] });
        assert_eq!(world.times_asked(), 1, "the first did not wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_or_is_dropped_gives_its_place_back() {
    let script = [error(ErrorClass::Refused), hanging(), hanging(), accepted("SM4")];
    let world = World::with_places(1, 0, script);
    assert_eq!(world.requests().await, "Gateway");
    assert_eq!(world.requests().await, "NoAnswerInTime, maybe sent");
    tokio::time::timeout(secs(1), world.requests()).await.expect_err("dropped");
    assert_eq!(world.requests().await, "SM4");
}

#[tokio::test(start_paused = true)]
async fn a_record_does_not_grow_beyond_its_bound() {
    let world = World::answering(vec![accepted("SM"); 101]);
    for _ in 0..101 {
        world.requests().await;
    }
    let rows = world.rows();
    assert_eq!((rows.len(), rows[31].number), (32, 100), "the last one is there");
}

#[tokio::test(start_paused = true)]
async fn the_next_gateway_gets_the_same_code_at_once_or_after_half_of_the_time() {
    let later = error(RETRY).asking_to_wait(secs(5));
    let refusals = [RETRY, ErrorClass::Configuration, ErrorClass::Refused, DOUBT];
    let at_once = refusals.map(|class| (error(class), 0));
    for (answer, at) in at_once.into_iter().chain([(later, 0), (down(DOUBT), 0), (hanging(), 5_000)]) {
        let world = Setup::routing(BOTH).build().and(Mada, [answer]).and(Http, [accepted("H1")]);
        assert_eq!(world.requests().await, "H1");
        assert_eq!(world.sent_at(), [0, at]);
        let sent = world.sent();
        assert_eq!(sent[0].code, sent[1].code);
        assert_eq!(world.times_asked(), 1, "the code may have been used while the first one was asked");
        let rows: Vec<_> = world.rows().into_iter().map(|row| (row.gateway, row.status)).collect();
        assert_eq!(rows, [(Mada, SendStatus::GatewayError), (Http, SendStatus::Sent)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_message_that_may_have_left_says_who_holds_the_code() {
    for (routing, first, second, held) in
        [("Sinch;Http", Sinch, Http, ""), ("Http;Sinch", Http, Sinch, ", held by Sinch Sms")]
    {
        let world = || Setup::routing(routing).build().and(first, [error(DOUBT)]);
        let in_doubt = world().and(second, [error(DOUBT)]).requests().await;
        assert_eq!(in_doubt, format!("Gateway, maybe sent{held}"), "{routing}");
        let taken = world().and(second, [accepted("2")]).requests().await;
        assert_eq!(taken, format!("2{held}"), "{routing}");
    }
    let world = Setup::routing("Sinch;Http").build();
    let world = world.and(Sinch, [error(DOUBT), hanging()]).and(Http, [error(ErrorClass::Refused)]);
    assert_eq!(world.requests().await, "Gateway, maybe sent, held by Sinch Sms");
    assert_eq!(world.requests_by(Call).await, "NoAnswerInTime, maybe sent, held by Sinch Call");
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_a_code_is_asked_first_and_others_begin_a_new_one() {
    let held = Some(Held { by: Sinch, channel: Sms });
    let repeats =
        async |world: &World| world.requests_with(|job| job.permitted.permit.verification.held = held).await;
    let world = Setup::routing("Mada;Sinch").build().and(Sinch, [accepted("S1"), hanging()]);
    let world = world.and(Mada, [accepted("M1")]);
    assert_eq!(repeats(&world).await, "S1, held by Sinch Sms");
    assert_eq!(repeats(&world).await, "M1");
    assert_eq!(world.asked(), [(Sinch, Sms), (Sinch, Sms), (Mada, Sms)]);
}
