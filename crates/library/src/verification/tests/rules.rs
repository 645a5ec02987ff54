//! Rules of a verification: its service changes or goes, it is named, it ends before its message leaves.

use super::*;

#[tokio::test]
async fn a_deleted_service_is_gone_at_once_and_sends_nothing_more() {
    let steps = json!({ "friendly-name": "Owl Bank", "workflow": "sms:30s,call" });
    let world = World::with(steps.clone()).await;
    let other = world.registry.create_service(given(steps)).await.expect("a service");
    let begun = world.begun(number(1)).await;
    world.advance(Duration::from_secs(1));
    let mut elsewhere = asking(number(2));
    elsewhere.key.service = other.id;
    world.verifier.begin(elsewhere).await.expect("begun");
    let code = world.provider.code_for(number(1));
    world.registry.delete_service(world.service.sid).await.expect("deleted");
    let target = VerificationTarget::Sid(begun.sid);
    assert_eq!(world.checks(target, Some(code)).await, Err(Refused::NotFound));
    assert_eq!(world.begins(asking(number(1))).await, Err(Refused::NotFound));
    assert_eq!(world.ends(target, Ending::Canceled).await, Err(Refused::NotFound));
    // Both calls are due, the deleted service's first.
    world.advance(Duration::from_secs(31));
    world.provider.arrived(3).await;
    let called: Vec<_> =
        world.provider.handed().into_iter().filter(|sent| sent.channel == Channel::Call).collect();
    assert!(called.iter().all(|call| call.to == number(2)), "{called:?}");
    assert_eq!(world.provider.handed().len(), 3);
}

#[tokio::test]
async fn a_check_that_names_another_number_is_not_found_and_not_counted() {
    let world = World::with(json!({ "max-checks": 1 })).await;
    let target = VerificationTarget::Sid(world.begun(number(1)).await.sid);
    let check = |to, code| CheckCode { number: Some(to), ..CheckCode::new(target, Some(code)) };
    let code = world.provider.code_for(number(1));
    let other = world.verifier.check(world.service.id, check(number(2), code.clone())).await;
    assert_eq!(other, Err(Refused::NotFound));
    let right = world.verifier.check(world.service.id, check(number(1), code)).await.expect("checked");
    assert_eq!(right.status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn a_code_whose_verification_ended_before_it_left_is_not_sent() {
    for ending in [Ending::Canceled, Ending::Approved] {
        let world = World::new().await;
        let target = VerificationTarget::Number(number(1));
        // Another number's commit waits, and the next one has both the begin and the end.
        world.store.hold();
        let other = world.begins_meanwhile(asking(number(9)));
        world.store.waiting(1).await;
        let begins = world.begins_meanwhile(asking(number(1)));
        let releases = async {
            settle().await;
            world.store.release();
        };
        settle().await;
        let (ended, ()) = tokio::join!(world.ends(target, ending), releases);
        assert_eq!(begins.await.expect("a task"), Err(Refused::Unavailable(Refusal::NumberBusy)));
        other.await.expect("a task").expect("begun");
        let begun = world.begun(number(1)).await;
        assert_ne!(ended.expect("ended").sid, begun.sid, "a repetition begins another one");
        let checked = world.checks(target, Some(world.provider.code_for(number(1)))).await;
        assert_eq!(checked.expect("checked").status, Status::Approved);
        assert_eq!(world.provider.handed().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_waited_for_its_gateway_is_not_sent_after_a_newer_one_began() {
    let world = World::set_up(|settings| settings.bounds.sends = 1).await;
    world.provider.hangs(true);
    let first = world.begins_meanwhile(asking(number(9)));
    world.provider.arrived(1).await;
    let waited = world.begins_meanwhile(asking(number(1)));
    settle().await;
    world.ends(VerificationTarget::Number(number(1)), Ending::Canceled).await.expect("canceled");
    let newer = world.begins_meanwhile(asking_with(number(1), |message| message.channel = Channel::Call));
    settle().await;
    world.provider.hangs(false);
    assert_eq!(waited.await.expect("a task"), Err(Refused::Unavailable(Refusal::NumberBusy)));
    first.await.expect("a task").expect("begun");
    newer.await.expect("a task").expect("begun");
    assert_eq!(world.provider.handed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_its_gateway_has_at_a_crash_is_not_made_again() {
    let world = World::with(json!({ "workflow": "sms:30s,call" })).await;
    world.begun(number(1)).await;
    world.provider.hangs(true);
    world.advance(Duration::from_secs(31));
    world.provider.arrived(2).await;
    let world = world.crashes().await;
    world.provider.hangs(false);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.provider.handed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_brings_on_the_first_message_that_a_crash_cut_off() {
    let world = World::with(json!({ "workflow": "sms:10s,call" })).await;
    world.has_webhook().await;
    world.provider.hangs(true);
    let cut_off = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(1).await;
    cut_off.abort();
    let world = world.crashes().await;
    world.provider.hangs(false);
    settle().await;
    let rows = world.verifier.attempts.list(&AttemptQuery::newest(9)).await.expect("a list");
    let row = |of: &ListedAttempt| (of.attempt.channel, of.attempt.status, of.attempt.may_have_left());
    assert_eq!(rows.iter().map(row).collect::<Vec<_>>(), [(Channel::Sms, SendStatus::GatewayError, true)]);
    let mut told = vec!["verification.created", "verification.sent"];
    assert_eq!(world.told().await, told);
    world.advance(Duration::from_secs(11));
    world.provider.arrived(2).await;
    assert_eq!(world.provider.handed()[1].channel, Channel::Call, "the next step follows");
    world.advance(HOUR);
    told.push("verification.expired");
    until(async || world.told().await == told).await;
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_the_store_refused_is_decided_again() {
    let world = World::new().await;
    world.provider.hangs(true);
    let begins = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(1).await;
    world.store.fail_next([StoreFault::Unavailable]);
    world.provider.hangs(false);
    assert_eq!(begins.await.expect("a task"), Err(Refused::Unavailable(Refusal::OutcomeUnknown)));
    let query = AttemptQuery::newest(9);
    until(async || world.verifier.attempts.list(&query).await.is_ok_and(|rows| rows.len() == 1)).await;
    let rows = world.verifier.attempts.list(&query).await.expect("a list");
    assert_eq!((rows[0].attempt.status, rows[0].attempt.class), (SendStatus::Sent, None));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_stays_until_its_code_ends_however_little_is_kept() {
    let world = World::of("Mada", json!({ "code-life": 600 }), |settings| {
        settings.attempt_log.keep_for = Duration::from_secs(60);
        settings.attempt_log.keep_at_most = 0;
    })
    .await;
    let target = VerificationTarget::Sid(world.begun(number(1)).await.sid);
    world.advance(Duration::from_secs(65));
    // Several steps of the sweep.
    tokio::time::sleep(SECOND).await;
    let code = world.provider.code_for(number(1));
    assert_eq!(world.checks(target, Some(code)).await.expect("checked").status, Status::Approved);
    let listed = async || world.verifier.attempts.list(&AttemptQuery::newest(9)).await.expect("a list");
    assert!(listed().await.iter().any(|row| row.converted), "it counts");
    world.advance(Duration::from_secs(61));
    tokio::time::sleep(SECOND).await;
    assert!(listed().await.is_empty(), "it is settled");
}
