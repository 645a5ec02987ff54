//! Repetitions of requests with an idempotency key.

use super::*;

#[tokio::test]
async fn beyond_its_limit_a_new_key_is_refused_and_a_known_one_answered() {
    let world = World::new().await;
    (1..MOST_RECORDS).for_each(|_| world.verifier.capacities()[1].count(world.service.id, true));
    world.provider.hangs(true);
    let first = world.begins_meanwhile(asking_once(number(1), "a"));
    world.provider.arrived(1).await;
    let joined = world.begins_meanwhile(asking_once(number(1), "a"));
    tokio::task::yield_now().await;
    world.provider.hangs(false);
    let first = first.await.expect("a task").expect("begun");
    assert_eq!(joined.await.expect("a task"), Ok(first.clone()));
    let refused = world.begins(asking_once(number(2), "a")).await;
    assert!(
        matches!(
            refused,
            Err(Refused::Unavailable(Refusal::TableFull { table: LimitedTable::IdempotencyKeys }))
        ),
        "{refused:?}"
    );
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(first));
    world.begins(asking(number(2))).await.expect("begun without a key");
    assert_eq!(world.provider.handed().len(), 2);
}

#[tokio::test]
async fn a_full_table_refuses_no_check_and_does_not_remember_its_answer() {
    let world = World::new().await;
    let begun = world.begun(number(1)).await;
    (0..MOST_RECORDS).for_each(|_| world.verifier.capacities()[1].count(world.service.id, true));
    let right = world.provider.code_for(number(1));
    for (code, status) in [
        (wrong_of(&right), Ok(Status::Pending)),
        (right.clone(), Ok(Status::Approved)),
        (right, Err(Refused::NotFound)),
    ] {
        let checked = checks_once(&world, begun.sid, Some(code)).await;
        assert_eq!(checked.map(|verification| verification.status), status);
    }
}

/// The program dies while the gateway has the message of the key `a`.
async fn cut_off(world: World) -> World {
    let messages = world.provider.handed().len() + 1;
    world.provider.hangs(true);
    let cut_off = world.begins_meanwhile(asking_once(number(1), "a"));
    world.provider.arrived(messages).await;
    let world = world.crashes().await;
    cut_off.abort();
    world.provider.hangs(false);
    world
}

/// Repeats the request with the key `a`, twice, with and without a crash between. All answers must be about the same
/// verification, and no message may follow.
async fn repeated(world: World) -> (World, Result<Verification, Refused>) {
    let messages = world.provider.handed().len();
    let first = world.begins(asking_once(number(1), "a")).await;
    assert_eq!(world.begins(asking_once(number(1), "a")).await, first);
    let world = world.crashes().await;
    let again = world.begins(asking_once(number(1), "a")).await;
    // A crash may lose that a message was accepted, and with it its attempt.
    let lasting = |shown: &Verification| (shown.sid, shown.to, shown.channel, shown.status, shown.created);
    assert_eq!(again.as_ref().map(lasting), first.as_ref().map(lasting));
    assert_eq!(world.provider.handed().len(), messages, "no second message");
    (world, first)
}

async fn checks_by_number(world: &World, code: Option<Code>) -> Result<Status, Refused> {
    let checked = world.checks(VerificationTarget::Number(number(1)), code).await;
    checked.map(|verification| verification.status)
}

#[tokio::test]
async fn a_cut_off_request_gets_its_present_state_before_and_after_approval() {
    let (world, pending) = repeated(cut_off(World::new().await).await).await;
    let pending = pending.expect("the earlier request's answer");
    assert_eq!((pending.to, pending.status), (number(1), Status::Pending));
    let target = VerificationTarget::Sid(pending.sid);
    let code = world.provider.code_for(number(1));
    assert_eq!(world.checks(target, Some(code)).await.expect("checked").status, Status::Approved);
    let (world, found) = repeated(world).await;
    let found = found.expect("the earlier request's answer");
    assert_eq!((found.sid, found.channel, found.status), (pending.sid, Channel::Sms, Status::Approved));
    // A later verification of the number is another one.
    let later = world.begun(number(1)).await;
    assert_ne!(later.sid, found.sid);
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(found));
}

#[tokio::test]
async fn a_cut_off_request_whose_code_expired_is_refused_and_sends_nothing() {
    let world = cut_off(World::new().await).await;
    world.advance(Duration::from_secs(1_199));
    let (world, found) = repeated(world).await;
    assert_eq!(found, Err(Refused::Ended));
    world.begins(asking_once(number(1), "bb")).await.expect("another key begins");
}

#[tokio::test]
async fn a_key_is_forgotten_ten_minutes_after_the_end_of_its_verification() {
    for code_life in [60, 3_600] {
        let world = World::with(json!({ "code-life": code_life })).await;
        world.begins(asking_once(number(1), "a")).await.expect("begun");
        for (wait, messages) in [(code_life + 599, 1), (1, 2)] {
            world.advance(Duration::from_secs(wait));
            let _ = world.begins(asking_once(number(1), "a")).await;
            assert_eq!(world.provider.handed().len(), messages, "{code_life} {wait}");
        }
    }
}

#[tokio::test]
async fn a_lockout_after_a_cut_off_request_leads_to_no_second_message() {
    let world = cut_off(World::with(json!({ "lockout": "30m", "code-life": "25m" })).await).await;
    until(async || checks_by_number(&world, None).await != Ok(Status::Pending)).await;
    let (world, found) = repeated(world).await;
    assert!(matches!(found, Err(Refused::NoChecksLeft { .. })), "{found:?}");
    world.advance(Duration::from_secs(1_800));
    let (_, found) = repeated(world).await;
    assert_eq!(found, Err(Refused::Ended));
}

#[tokio::test]
async fn a_message_whose_permission_was_not_durable_is_sent_by_a_repetition() {
    // After an unknown outcome the process ends. Its disk may have the key of a message that never left.
    for (fault, crashes) in [
        (StoreFault::Unavailable, false),
        (StoreFault::Unavailable, true),
        (StoreFault::UnknownNotApplied, true),
    ] {
        let mut world = World::new().await;
        world.store.fail_next([fault]);
        let refused = world.begins(asking_once(number(1), "a")).await;
        assert!(matches!(refused, Err(Refused::Unavailable(_))), "{fault:?}: {refused:?}");
        assert_eq!(world.provider.handed().len(), 0);
        if crashes {
            world = world.crashes().await;
        }
        world.begins(asking_once(number(1), "a")).await.expect("carried out");
        assert_eq!(world.provider.handed().len(), 1);
        let (_, again) = repeated(world).await;
        again.expect("the same answer");
    }
}

#[tokio::test]
async fn a_request_that_came_to_nothing_keeps_no_answer() {
    let world = World::new().await;
    world.provider.fails_with(ErrorClass::BadNumber);
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Err(Refused::Failed(Failure::BadNumber)));
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    world.provider.fails_with(ErrorClass::Configuration);
    assert_eq!(world.begins(asking_once(number(2), "bb")).await, Err(Refused::Failed(Failure::Gateway)));
    world.begins(asking_once(number(2), "bb")).await.expect("begun");
    world.begins(asking(number(3))).await.expect("begun");
    assert_eq!(world.provider.handed().len(), 5);
}

/// Checks with the key `c`.
async fn checks_once(world: &World, sid: Sid, code: Option<Code>) -> Result<Verification, Refused> {
    let once = Some(GivenKey { key: "c".to_owned(), fingerprint: [0; 32] });
    let check = CheckCode { once, ..CheckCode::new(VerificationTarget::Sid(sid), code) };
    world.verifier.check(world.service.id, check).await
}

#[tokio::test]
async fn a_repeated_check_with_its_key_gets_its_answer_for_a_minute() {
    for is_right in [true, false] {
        let world = World::new().await;
        let begun = world.begun(number(1)).await;
        let right = world.provider.code_for(number(1));
        let code = Some(if is_right { right.clone() } else { wrong_of(&right) });
        let first = checks_once(&world, begun.sid, code.clone()).await;
        let told = first.as_ref().expect("an answer").status;
        assert_eq!(told, if is_right { Status::Approved } else { Status::Pending });
        // Another message changes what a new check would tell.
        world.advance(Duration::from_secs(30));
        world.begun(number(1)).await;
        let world = world.crashes().await;
        let shown = |v: Verification| Verification { attempts: Vec::new(), ..v };
        assert_eq!(checks_once(&world, begun.sid, code.clone()).await.map(shown), first.clone().map(shown));
        assert_eq!(
            checks_once(&world, begun.sid, None).await,
            Err(Refused::Unavailable(Refusal::OtherRequest))
        );
        world.advance(Duration::from_secs(30));
        let later = checks_once(&world, begun.sid, code).await;
        if is_right {
            assert_eq!(later, Err(Refused::NotFound), "a minute is over");
        } else {
            assert_eq!(later.expect("an answer").status, Status::Pending);
        }
    }
}

#[tokio::test]
async fn a_repeated_check_that_found_no_verification_finds_none_again() {
    let world = World::new().await;
    let check = async || {
        let once = Some(GivenKey { key: "c".to_owned(), fingerprint: [0; 32] });
        let check = CheckCode::new(VerificationTarget::Number(number(1)), Code::parse("0000000000"));
        world.verifier.check(world.service.id, CheckCode { once, ..check }).await
    };
    assert_eq!(check().await, Err(Refused::NotFound));
    world.begun(number(1)).await;
    assert_eq!(check().await, Err(Refused::NotFound), "it counts for no later verification");
}

#[tokio::test]
async fn a_repetition_carries_out_or_answers_a_check_without_an_answer() {
    for (fault, is_right) in [
        (StoreFault::Unavailable, true),
        (StoreFault::UnknownApplied, true),
        (StoreFault::UnknownApplied, false),
        (StoreFault::UnknownNotApplied, true),
        (StoreFault::UnknownNotApplied, false),
    ] {
        let mut world = World::new().await;
        let begun = world.begun(number(1)).await;
        let right = world.provider.code_for(number(1));
        let code = Some(if is_right { right.clone() } else { wrong_of(&right) });
        world.store.fail_next([fault]);
        let unknown = checks_once(&world, begun.sid, code.clone()).await;
        assert!(matches!(unknown, Err(Refused::Unavailable(_))), "{unknown:?}");
        let told = if is_right { Status::Approved } else { Status::Pending };
        if fault != StoreFault::Unavailable {
            world = world.crashes().await;
        }
        let again = checks_once(&world, begun.sid, code.clone()).await;
        assert_eq!(again.expect("its answer").status, told, "{fault:?}");
        let world = world.crashes().await;
        let again = checks_once(&world, begun.sid, code.clone()).await;
        assert_eq!(again.expect("its answer").status, told, "{fault:?}");
        let after = checks_by_number(&world, Some(right)).await;
        let expected = if is_right { Err(Refused::NotFound) } else { Ok(Status::Approved) };
        assert_eq!(after, expected, "{fault:?}");
    }
}

fn wrong_of(right: &Code) -> Code {
    let other = ["000000", "111111"].into_iter().find(|other| *other != right.expose());
    Code::parse(other.expect("two codes")).expect("a code")
}
