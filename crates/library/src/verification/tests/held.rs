//! Codes that a gateway holds, and what a shard that has failed answers.

use super::*;

/// With a code that the gateway holds.
async fn held() -> World {
    let settings = GuardSettings { messages_per_hour: Some(6), ..GuardSettings::default() };
    let world = World::guarded(settings, "TwilioVerify", json!({})).await;
    world.begun(number(1)).await;
    world
}

async fn checks(world: &World) -> Result<(), Refused> {
    world.checks(VerificationTarget::Number(number(1)), Code::parse("000000")).await.map(drop)
}

#[tokio::test]
async fn a_commit_longer_than_the_check_budget_asks_no_gateway() {
    let world = held().await;
    world.store.hold();
    let releases = async {
        world.store.waiting(1).await;
        world.advance(Duration::from_secs(60));
        world.store.release();
    };
    assert_eq!(tokio::join!(checks(&world), releases).0, Err(Refused::Failed(Failure::Gateway)));
    assert!(world.provider.questions().is_empty());
}

#[tokio::test]
async fn a_lease_lost_during_the_commit_asks_no_gateway_and_costs_no_attempt() {
    let world = held().await;
    world.store.hold();
    let releases = async {
        world.store.waiting(1).await;
        world.store.set_owns_records(false);
        world.store.release();
    };
    let refused = Err(Refused::Unavailable(Refusal::StoreUnavailable));
    assert_eq!(tokio::join!(checks(&world), releases).0, refused);
    assert!(world.provider.questions().is_empty());
    world.store.set_owns_records(true);
    let status = world.verifier.status(&world.service, number(1)).await.expect("read").expect("messages");
    // The check was decided, and then settled.
    assert_eq!(status.messages[0].verify_status, VerifyStatus::GatewayError);
    let wrong_codes = status.verification.map(|(_, verification)| verification.details.wrong);
    assert_eq!((wrong_codes, status.lockout.wrong_codes), (Some(0), 0));
}

#[tokio::test]
async fn a_silent_gateway_says_nothing_of_the_last_code() {
    let world = World::routing("TwilioVerify", json!({ "lockout": "30m", "max-checks": 1 })).await;
    world.begun(number(1)).await;
    world.provider.says(GatewayName::TwilioVerify, 0, Err((ErrorClass::Ambiguous, false)));
    let _ = checks(&world).await;
    let status = world.verifier.status(&world.service, number(1)).await.expect("read").expect("messages");
    assert!(status.lockout.until.is_some());
    assert_eq!(status.messages[0].verify_status, VerifyStatus::GatewayError);
}

#[tokio::test]
async fn the_last_check_is_told_to_a_webhook_made_after_the_message() {
    let world = World::routing("TwilioVerify", json!({ "max-checks": 1 })).await;
    world.begun(number(1)).await;
    world.has_webhook().await;
    world.provider.says(GatewayName::TwilioVerify, 0, Ok(Verdict::Wrong));
    let _ = checks(&world).await;
    assert_eq!(world.told().await, ["verification.created", "verification.max_attempts_reached"]);
}

#[tokio::test]
async fn a_message_that_is_refused_during_a_check_takes_nothing_of_a_budget() {
    let world = held().await;
    world.provider.says(GatewayName::TwilioVerify, 3_600_000, Ok(Verdict::Wrong));
    tokio::select! {
        checked = checks(&world) => panic!("{checked:?}"),
        () = until(async || !world.provider.questions().is_empty()) => {}
    }
    assert_eq!(world.begins(asking(number(1))).await, Err(Refused::Unavailable(Refusal::NumberBusy)));
    assert_eq!(spent(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_open_requests_are_told_and_a_stop_works() {
    let world = World::new().await;
    world.provider.hangs(true);
    let at_gateway = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(1).await;
    world.store.hold();
    let in_flight = world.begins_meanwhile(asking(number(2)));
    world.store.waiting(1).await;
    let behind_it = world.begins_meanwhile(asking(number(3)));
    settle().await;
    assert_eq!(world.reasons_against(), []);
    world.store.fail_held(StoreFault::UnknownApplied);
    world.store.release();
    world.provider.hangs(false);
    for (held, place) in [(at_gateway, "its message has left"), (in_flight, "in flight"), (behind_it, "next")]
    {
        let answer = held.await.expect("a task");
        assert_eq!(answer, Err(Refused::Unavailable(Refusal::OutcomeUnknown)), "{place}");
    }
    let why = world.shards.store().failed().await;
    assert_eq!(world.reasons_against(), [Unready { part: "store", why }]);
    world.stop().await.expect("stopped in order");
}
