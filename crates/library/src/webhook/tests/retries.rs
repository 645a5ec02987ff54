//! When the outbox retries, and when not.

use super::*;
use crate::delivery::tests::log_capture::LogCapture;
use crate::shard::tests::StoreFault;

#[tokio::test(start_paused = true)]
async fn when_one_has_failed_for_good_the_next_one_goes() {
    let world = World::new().await;
    world.receivers.play(1, [Behaviour::Answer(400)]);
    world.emit(1, EventType::Created);
    world.emit(1, EventType::Approved);
    world.pass(90 * HOUR).await;
    assert_eq!(kinds(&world.asked()[..11]), ["verification.created"; 11]);
    world.receivers.play(1, [Behaviour::Answer(200)]);
    world.pass(30 * HOUR).await;
    assert_eq!(world.states(1).await, [DeliveryState::Delivered, DeliveryState::Failed]);
}

#[tokio::test(start_paused = true)]
async fn every_status_but_2xx_is_a_failure_redirects_included() {
    for (status, state) in [
        (200, DeliveryState::Delivered),
        (204, DeliveryState::Delivered),
        (299, DeliveryState::Delivered),
        (199, DeliveryState::Pending),
        (301, DeliveryState::Pending),
        (307, DeliveryState::Pending),
        (404, DeliveryState::Pending),
        (500, DeliveryState::Pending),
    ] {
        let world = World::new().await;
        world.receivers.play(1, [Behaviour::Answer(status)]);
        world.emits(1, EventType::Created).await;
        assert_eq!(world.states(1).await, [state], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_can_ask_for_more_time() {
    let world = World::new().await;
    world.receivers.play(1, [Behaviour::AskForTime(429, 40), Behaviour::Answer(200)]);
    world.emit(1, EventType::Created);
    world.pass(39 * SECOND).await;
    assert_eq!(world.asked().len(), 1);
    world.pass(3 * SECOND).await;
    assert_eq!(world.asked().len(), 1);
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
async fn deliveries_to_a_disabled_or_removed_webhook_are_not_tried() {
    let disabled = Webhook { status: WebhookStatus::Disabled, ..hook(1) };
    for (hooks, error) in [(vec![disabled], AttemptError::Disabled), (Vec::new(), AttemptError::Removed)] {
        let world = World::new().await;
        world.receivers.play(1, [Behaviour::Refuse]);
        world.emits(1, EventType::Created).await;
        world.set_hooks(&hooks).await;
        world.pass(2 * MINUTE).await;
        let listed = world.listed(1).await;
        assert_eq!(listed[0].state, DeliveryState::Failed);
        assert_eq!(listed[0].attempts.last().and_then(|attempt| attempt.error), Some(error));
        assert_eq!(world.asked().len(), 1);
        let is_known = world.outbox.load(SERVICE, yw(1)).last_error.is_some();
        assert_eq!(is_known, error == AttemptError::Disabled, "a removed webhook is forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_webhook_with_a_backlog_is_logged_with_a_count() {
    let log = LogCapture::default();
    let scenario = async || {
        let world = World::new().await;
        world.receivers.play(1, [Behaviour::Refuse]);
        for _ in 0..50 {
            world.emit(1, EventType::Sent);
        }
        world.settle().await;
        world.set_hooks(&[]).await;
        world.pass(HOUR).await;
        assert_eq!(world.outbox.backlog(), 0);
    };
    let _capturing = log.start(&scenario).await;
    scenario().await;
    let text = log.take();
    let lines = text.lines().filter(|line| line.contains("WARN") && line.contains("webhook event"));
    let counts: Vec<u64> =
        lines.filter_map(|line| line.split_once("count=")?.1.split(' ').next()?.parse().ok()).collect();
    assert!(counts.len() <= 2 && counts.iter().sum::<u64>() == 50, "{counts:?} in {text}");
}

#[tokio::test(start_paused = true)]
async fn what_gets_no_turn_within_five_days_ends() {
    let world = World::new().await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for _ in 0..20 {
        world.emit(1, EventType::Sent);
    }
    world.pass(130 * HOUR).await;
    let listed = world.listed(1).await;
    assert!(listed.iter().all(|delivery| delivery.state == DeliveryState::Failed));
    let last = listed[0].attempts.last().and_then(|attempt| attempt.error);
    assert_eq!((last, listed[0].attempts.len()), (Some(AttemptError::TooOld), 1));
    assert_eq!(world.outbox.backlog(), 0);
}
