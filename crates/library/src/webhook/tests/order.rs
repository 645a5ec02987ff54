//! The order of deliveries, their concurrency and their bounds.

use super::*;

#[tokio::test(start_paused = true)]
async fn other_verifications_and_other_webhooks_do_not_wait() {
    let world = World::with(OutboxBounds::default(), &[hook(1), hook(2)]).await;
    world.receivers.play(1, [Behaviour::Hang(15)]);
    world.emit(1, EventType::Created);
    world.emit(2, EventType::Created);
    world.emits(1, EventType::Sent).await;
    let asked = world.asked();
    for (webhook, verification, posts) in [(1, 1, 1), (1, 2, 1), (2, 1, 2), (2, 2, 1)] {
        let of_it = asked.iter().filter(|asked| asked.is_to(webhook) && asked.is_about(verification));
        assert_eq!(of_it.count(), posts, "{webhook} {verification}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_has_eight_requests_in_flight_and_all_have_a_limit() {
    let hooks: Vec<Webhook> = (1..=10).map(hook).collect();
    let world = World::with(OutboxBounds { at_once: 64, ..OutboxBounds::default() }, &hooks[..1]).await;
    for webhook in 1..=10 {
        world.receivers.play(webhook, [Behaviour::AnswerAfter(5)]);
    }
    for verification in 0..100 {
        world.emit(verification, EventType::Created);
    }
    world.settle().await;
    assert_eq!(world.asked().len(), 8);
    world.set_hooks(&hooks).await;
    for verification in 0..100 {
        world.emit(verification, EventType::Sent);
    }
    world.settle().await;
    assert_eq!(world.asked().len(), 64 - 8);
    world.pass(20 * MINUTE).await;
    assert_eq!(world.outbox.backlog(), 0, "all are told in the end");
}

#[tokio::test(start_paused = true)]
async fn dead_webhooks_do_not_slow_others_down() {
    let hooks: Vec<Webhook> = (1..=250).map(hook).collect();
    let world = World::with(OutboxBounds::default(), &hooks).await;
    for webhook in 2..=250 {
        world.receivers.play(webhook, [Behaviour::Hang(30)]);
    }
    for verification in 0..5 {
        world.emit(verification, EventType::Created);
    }
    // At first the outbox does not know which receivers are dead.
    world.pass(10 * MINUTE).await;
    for verification in 5..35 {
        world.asked();
        world.emits(verification, EventType::Created).await;
        let is_told = world.asked().iter().any(|asked| asked.is_to(1) && asked.is_about(verification));
        assert!(is_told, "the {verification}th is told at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_webhook_is_probed_each_minute_and_catches_up_when_it_is_back() {
    let world = World::new().await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for verification in 0..200 {
        world.emit(verification, EventType::Created);
    }
    world.pass(10 * MINUTE).await;
    world.asked();
    world.pass(10 * MINUTE).await;
    let asked = world.asked().len();
    assert!((8..=12).contains(&asked), "{asked} attempts in ten minutes");
    world.receivers.play(1, [Behaviour::Answer(200)]);
    world.pass(2 * MINUTE).await;
    let delivered = world.states(1).await.iter().filter(|state| **state == DeliveryState::Delivered).count();
    assert!(delivered >= 150, "{delivered} of 200");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bounds_the_newest_events_are_dropped_and_counted() {
    let bounds = OutboxBounds { verifications: 4, pending_each: 3, ..OutboxBounds::default() };
    let world = World::with(bounds, &[hook(1), hook(2)]).await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for verification in 1..=4 {
        world.emits(verification, EventType::Created).await;
    }
    let kept =
        |listed: Vec<Delivery>| listed.iter().rev().filter_map(|d| d.event.verification).collect::<Vec<_>>();
    assert_eq!(kept(world.listed(1).await), [ve(1), ve(2), ve(3)], "no more for one webhook");
    assert_eq!(world.states(2).await, [DeliveryState::Delivered; 4], "another one has all");
    assert_eq!(world.outbox.backlog(), 3);
    world.receivers.play(2, [Behaviour::Refuse]);
    for verification in 5..=6 {
        world.emits(verification, EventType::Created).await;
    }
    assert_eq!(kept(world.listed(2).await), [1, 2, 3, 4, 5].map(ve), "no more verifications in all");
    let [one, two, three] = [1, 2, 3].map(|webhook| world.outbox.load(SERVICE, yw(webhook)));
    assert_eq!([one.dropped, two.dropped, three.dropped], [3, 1, 0]);
    assert!(one.last_dropped == two.last_dropped && one.last_dropped > Some(START));
    assert!(three.last_dropped.is_none());
    for webhook in [1, 2] {
        world.receivers.play(webhook, [Behaviour::Answer(200)]);
    }
    world.pass(3 * MINUTE).await;
    world.emits(7, EventType::Created).await;
    assert_eq!(world.states(1).await, [DeliveryState::Delivered; 4], "there is room again");
}

#[tokio::test(start_paused = true)]
async fn each_pending_event_of_a_verification_counts_once() {
    let world = World::with(OutboxBounds { pending_each: 3, ..OutboxBounds::default() }, &[hook(1)]).await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for kind in [EventType::Created, EventType::Sent] {
        world.emits(1, kind).await;
    }
    let both = [EventType::MessageFailed, EventType::Canceled];
    keep(&world.outbox, SERVICE, 1, &both).await.expect("kept");
    let load = world.outbox.load(SERVICE, yw(1));
    assert_eq!((load.pending, load.dropped), (3, 1), "one of both had room");
}

#[tokio::test(start_paused = true)]
async fn old_and_excess_deliveries_are_dropped_and_pending_ones_kept() {
    let world = World::with(OutboxBounds { kept: 4, ..OutboxBounds::default() }, &[hook(1)]).await;
    for verification in 0..16 {
        if verification == 10 {
            world.receivers.play(1, [Behaviour::Refuse]);
        }
        world.emits(verification, EventType::Created).await;
    }
    assert_eq!(world.listed(1).await.len(), 4 + 6);
    assert_eq!(world.store.snapshot().len(), 4 + 6, "it is gone from the disk too");
    world.pass(7 * 24 * HOUR).await;
    world.emits(17, EventType::Created).await;
    assert_eq!(world.listed(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_ended_deliveries_drops_none_of_another_service() {
    let world = World::with(OutboxBounds { kept: 4, ..OutboxBounds::default() }, &[hook(1)]).await;
    world.emits(1, EventType::Created).await;
    for verification in 2..12 {
        world.emit_in(OTHER, verification, EventType::Created);
        world.settle().await;
    }
    assert_eq!((world.listed(1).await.len(), world.store.snapshot().len()), (1, 4));
}
