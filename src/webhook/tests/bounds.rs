//! The bounds of the outbox.

use super::*;
use crate::webhook::queues::{Endpoint, Queues};
use crate::webhook::record::{Seq, WebhookHealth};

#[tokio::test(start_paused = true)]
async fn beyond_the_bounds_the_newest_events_are_dropped_and_counted() {
    let bounds = OutboxBounds { pending: 5, pending_each: 3, ..OutboxBounds::default() };
    let world = World::with(bounds, &[hook(1), hook(2)]).await;
    for webhook in [1, 2] {
        world.receivers.play(webhook, [Behaviour::Refuse]);
    }
    for verification in 1..=4 {
        world.emit(verification, EventType::Created);
        world.settle().await;
    }
    let kept = |listed: Vec<Delivery>| listed.iter().rev().map(|d| d.event.verification).collect::<Vec<_>>();
    assert_eq!(kept(world.listed(1).await), [ve(1), ve(2), ve(3)], "no more for one webhook");
    assert_eq!(kept(world.listed(2).await), [ve(1), ve(2)], "no more in all");
    assert_eq!((world.outbox.counts().pending, world.outbox.counts().dropped), (5, 3));
    let dropped = |webhook| world.outbox.dropped(SERVICE, yw(webhook));
    assert_eq!([dropped(1), dropped(2), dropped(3)].map(|(count, _)| count), [1, 2, 0]);
    assert!(dropped(1).1 == dropped(2).1 && dropped(1).1 > Some(START) && dropped(3).1.is_none());
    for webhook in [1, 2] {
        world.receivers.play(webhook, [Behaviour::Answer(200)]);
    }
    world.pass(3 * MINUTE).await;
    world.emit(5, EventType::Created);
    world.settle().await;
    assert_eq!(world.states(1).await, [DeliveryState::Delivered; 4], "there is room again");
}

#[test]
fn busy_webhooks_of_several_services_leave_places_for_another_service() {
    let mut queues = Queues::new(8, 4);
    let mut begun = |service: u32, count: u64| {
        for number in 0..count {
            let (small, seq) = (u8::try_from(number).expect("small"), Seq(number + 100 * u64::from(service)));
            let endpoint = Endpoint { service: ServiceId::new(service), webhook: yw(small % 10) };
            queues.set(endpoint, ve(small), seq, START);
        }
        std::iter::from_fn(|| queues.take(START)).count()
    };
    assert_eq!([1, 2, 3].map(|service| begun(service, 100)), [8, 4, 2]);
    assert_eq!(begun(4, 1), 1);
}

#[test]
fn failing_webhooks_of_several_services_delay_none_of_another_service() {
    let mut queues = Queues::new(8, 4);
    let later = START.plus(HOUR);
    let mut begun = |service: u32, webhooks: u8| {
        for webhook in 0..webhooks {
            let seq = Seq(u64::from(webhook) + 100 * u64::from(service));
            let endpoint = Endpoint { service: ServiceId::new(service), webhook: yw(webhook) };
            queues.set(endpoint, ve(webhook), seq, START);
            queues.report(endpoint, WebhookHealth::Failing(None), START);
        }
        std::iter::from_fn(|| queues.take(later)).count()
    };
    assert_eq!([1, 2, 3].map(|service| begun(service, 10)), [4; 3], "half of the places of a service");
    assert_eq!(begun(4, 1), 1);
}

#[tokio::test(start_paused = true)]
async fn old_and_excess_deliveries_are_dropped_and_pending_ones_kept() {
    let bounds = OutboxBounds { kept: 4, ..OutboxBounds::default() };
    let world = World::with(bounds, &[hook(1), hook(2)]).await;
    world.receivers.play(2, [Behaviour::Refuse]);
    for verification in 0..10 {
        world.emit(verification, EventType::Created);
        world.settle().await;
    }
    assert_eq!(world.listed(1).await.len(), 4);
    assert_eq!(world.listed(2).await.len(), 10);
    assert_eq!(world.store.snapshot().len(), 14, "it is gone from the disk too");
    world.pass(7 * 24 * HOUR).await;
    world.emit(11, EventType::Created);
    world.settle().await;
    assert_eq!((world.listed(1).await.len(), world.listed(2).await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_ended_deliveries_drops_none_of_another_service() {
    let bounds = OutboxBounds { kept: 4, ..OutboxBounds::default() };
    let world = World::with(bounds, &[hook(1)]).await;
    world.emit(1, EventType::Created);
    world.settle().await;
    for verification in 2..12 {
        world.emit_in(OTHER, verification, EventType::Created);
        world.settle().await;
    }
    assert_eq!(world.listed(1).await.len(), 1);
    assert_eq!(world.store.snapshot().len(), 4);
}
