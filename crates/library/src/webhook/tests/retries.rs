//! When the outbox retries, when not, and what it delivers again when it is asked to.

use super::*;
use crate::testing::StoreFault;

fn delivery() -> Delivery {
    let (id, kind, service, verification, at) = (EventId([1; 16]), EventType::Created, SERVICE, None, START);
    let event = Event { id, kind, service, verification, to: number(), at, body: String::new() };
    let (webhook, state, attempts) = (yw(1), DeliveryState::Pending, Vec::new());
    Delivery { event, webhook, state, due: START, attempts }
}

fn posted(status: u16, retry_after: Option<Duration>) -> WebhookAttempt {
    let posted = Posted { status: Some(status), detail: String::new(), retry_after };
    WebhookAttempt { at: START, took: Duration::ZERO, posted }
}

/// A delivery whose first attempt was answered so.
fn answered(status: u16, retry_after: Option<Duration>) -> Delivery {
    let mut delivery = delivery();
    delivery.conclude(Some(posted(status, retry_after)), START, START, 0);
    delivery
}

#[test]
fn waits_grow_from_seconds_to_a_day_with_jitter_and_end_after_3_days() {
    for (random, waits) in [
        (0, [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400]),
        (u32::MAX, [6, 36, 144, 720, 4_320, 12_960, 25_920, 51_840, 103_680, 103_680]),
    ] {
        let mut delivery = delivery();
        for wait in waits {
            delivery.conclude(Some(posted(500, None)), START, START, random);
            assert_eq!((delivery.state, delivery.due.since(START).as_secs()), (DeliveryState::Pending, wait));
        }
        delivery.conclude(Some(posted(500, None)), START, START, random);
        assert_eq!(delivery.state, DeliveryState::Failed);
    }
    let mut late = delivery();
    let near_the_end = START.plus(5 * 24 * HOUR);
    late.conclude(Some(posted(500, None)), START, near_the_end, 0);
    assert_eq!(late.state, DeliveryState::Failed, "nothing is planned behind the end");
}

#[test]
fn any_status_but_2xx_is_a_failure_which_can_ask_for_more_time() {
    let (delivered, pending) = (DeliveryState::Delivered, DeliveryState::Pending);
    for (state, statuses) in [(delivered, &[200, 204, 299][..]), (pending, &[199, 301, 307, 404, 500])] {
        for status in statuses {
            assert_eq!(answered(*status, None).state, state, "{status}");
        }
    }
    for (asked, given) in [(1, 5), (77, 77), (1_000_000, 21_600)] {
        let asked = Some(Duration::from_secs(asked));
        assert_eq!(answered(429, asked).due.since(START).as_secs(), given);
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_gone_is_disabled_and_told_nothing_more() {
    for keeps in [false, true] {
        let world = World::new().await;
        if keeps {
            world.services.fail_next([StoreFault::Unavailable; 50]);
        }
        world.receivers.play(1, [Behaviour::Answer(410)]);
        world.emit(1, EventType::Created);
        world.emits(1, EventType::Sent).await;
        world.emits(1, EventType::Approved).await;
        let (asked, states) = (world.asked().len(), world.states(1).await);
        if keeps {
            assert_eq!((asked, states), (3, vec![DeliveryState::Failed; 3]), "each fails by itself");
        } else {
            assert_eq!((asked, states), (1, vec![DeliveryState::Failed; 2]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_gets_its_turn_after_five_days_is_tried_once() {
    let world = World::new().await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for _ in 0..20 {
        world.emit(1, EventType::Sent);
    }
    world.pass(130 * HOUR).await;
    let listed = world.listed(1).await;
    assert!(listed.iter().all(|delivery| delivery.state == DeliveryState::Failed));
    assert_eq!(listed[0].attempts.len(), 1);
    assert_eq!(world.outbox.backlog(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pending_event_that_is_asked_for_is_tried_now() {
    let world = World::new().await;
    world
        .receivers
        .play(1, [Behaviour::Refuse, Behaviour::Refuse, Behaviour::Refuse, Behaviour::Answer(200)]);
    world.emit(1, EventType::Created);
    world.pass(50 * SECOND).await;
    assert_eq!(world.asked().len(), 3);
    let id = world.listed(1).await[0].event.id;
    assert_eq!(world.outbox.replay(SERVICE, yw(1), id).await, Ok(true));
    world.settle().await;
    assert_eq!(world.asked().len(), 1);
    assert_eq!(world.states(1).await, [DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_event_goes_behind_pending_ones_also_after_a_crash() {
    let mut world = World::new().await;
    world.emits(1, EventType::Created).await;
    world.receivers.play(1, [Behaviour::Refuse, Behaviour::Answer(200)]);
    world.emits(1, EventType::Sent).await;
    let first = world.asked()[0].id();
    assert_eq!(world.outbox.replay(SERVICE, yw(1), first).await, Ok(true));
    assert_eq!(world.outbox.replay(SERVICE, yw(2), first).await, Ok(false));
    world.crash().await;
    world.pass(MINUTE).await;
    assert_eq!(kinds(&world.asked()), ["verification.sent", "verification.created"]);
}
