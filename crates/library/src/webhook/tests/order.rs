//! The order of deliveries, and their concurrency.

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
