//! Lists of deliveries, and repeated deliveries.

use super::*;
use crate::shard::tests::StoreFault;

#[tokio::test(start_paused = true)]
async fn failures_since_a_moment_are_redelivered_in_order_despite_a_crash() {
    let mut world = World::new().await;
    world.emits(1, EventType::Created).await;
    let since = world.clock.now();
    world.receivers.play(1, [Behaviour::Answer(410)]);
    world.services.fail_next([StoreFault::Unavailable; 50]);
    for kind in [EventType::Sent, EventType::Approved] {
        world.emits(1, kind).await;
    }
    world.receivers.play(1, [Behaviour::Answer(200)]);
    world.emits(2, EventType::Created).await;
    world.asked();
    assert_eq!(world.outbox.replay(SERVICE, yw(1), Replay::FailedSince(since)).await, Ok(2));
    world.settle().await;
    assert_eq!(kinds(&world.asked()), ["verification.sent", "verification.approved"]);
    assert_eq!(world.outbox.replay(SERVICE, yw(1), Replay::FailedSince(since)).await, Ok(0));
    world.receivers.play(1, [Behaviour::Refuse]);
    assert_eq!(world.outbox.replay(SERVICE, yw(1), Replay::AllSince(since)).await, Ok(3));
    world.settle().await;
    world.crash().await;
    world.pass(MINUTE).await;
    assert_eq!(world.states(1).await, [DeliveryState::Delivered; 4]);
    let (pending, asked) = (world.outbox.backlog(), world.asked());
    assert_eq!((pending, asked.len()), (0, 3));
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
    assert_eq!(world.outbox.replay(SERVICE, yw(1), Replay::Event(id)).await, Ok(1));
    world.settle().await;
    assert_eq!(world.asked().len(), 1);
    assert_eq!(world.states(1).await, [DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_is_not_delivered_again() {
    let bounds = OutboxBounds { pending_each: 3, ..OutboxBounds::default() };
    let world = World::with(bounds, &[hook(1)]).await;
    for kind in [EventType::Created, EventType::Sent] {
        world.emits(1, kind).await;
    }
    world.emits(2, EventType::Created).await;
    world.receivers.play(1, [Behaviour::Refuse]);
    world.emits(3, EventType::Created).await;
    // The newest one first: it fits, and the two of the other verification do not.
    let replayed = world.outbox.replay(SERVICE, yw(1), Replay::AllSince(START)).await;
    assert_eq!((replayed, world.outbox.backlog()), (Err(ReplayError::NoRoom(1)), 2));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_replayed_goes_behind_those_that_are_pending() {
    let world = World::new().await;
    world.emits(1, EventType::Created).await;
    world.receivers.play(1, [Behaviour::Refuse, Behaviour::Answer(200)]);
    world.emits(1, EventType::Sent).await;
    let first = world.asked()[0].id();
    assert_eq!(world.outbox.replay(SERVICE, yw(1), Replay::Event(first)).await, Ok(1));
    world.pass(MINUTE).await;
    assert_eq!(kinds(&world.asked()), ["verification.sent", "verification.created"]);
}
