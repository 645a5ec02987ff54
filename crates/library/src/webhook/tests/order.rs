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
async fn a_webhook_has_eight_requests_in_flight_and_a_service_64() {
    let hooks: Vec<Webhook> = (1..=70).map(hook).collect();
    let world = World::with(OutboxBounds::default(), &hooks).await;
    for webhook in 1..=70 {
        world.receivers.play(webhook, [Behaviour::AnswerAfter(5)]);
    }
    for verification in 0..10 {
        world.emit(verification, EventType::Created);
    }
    world.settle().await;
    let asked = world.asked();
    assert_eq!(asked.len(), 64);
    assert!((1..=70).all(|webhook| asked.iter().filter(|asked| asked.is_to(webhook)).count() <= 8));
    world.pass(MINUTE).await;
    assert_eq!(world.outbox.backlog(), 0, "all are told in the end");
}

#[tokio::test(start_paused = true)]
async fn receivers_of_seven_services_that_never_answer_delay_no_other_service() {
    let world = World::new().await;
    let of = |n: u32| ServiceId::new(20 + n);
    for n in 0..8_u8 {
        let hooks = if n < 7 { (10 * n + 1..=10 * n + 10).map(hook).collect() } else { vec![hook(100)] };
        let service = blank(
            of(n.into()),
            Sid::new(SidKind::Service, [n; 16]),
            Origin::Api,
            ServiceSettings::default(),
            START,
        );
        world.registry.put_service(Service { webhooks: hooks, ..service }).await;
    }
    for webhook in 1..=70 {
        world.receivers.play(webhook, [Behaviour::AnswerAfter(60)]);
    }
    for verification in 0..20 {
        (0..7).for_each(|n| world.emit_in(of(n), verification, EventType::Created));
    }
    world.settle().await;
    assert_eq!(world.asked().len(), 7 * 64, "each has its share");
    world.emit_in(of(7), 0, EventType::Created);
    world.pass(Duration::from_millis(200)).await;
    assert!(world.asked().iter().any(|asked| asked.is_to(100)), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_dead_webhook_slows_no_other_down_and_catches_up_when_it_is_back() {
    let world = World::with(OutboxBounds::default(), &[hook(1), hook(2)]).await;
    world.receivers.play(1, [Behaviour::Refuse]);
    for verification in 0..200 {
        world.emit(verification, EventType::Created);
    }
    world.pass(HOUR).await;
    assert_eq!(world.outbox.load(yw(1)).pending, 200);
    assert!(world.outbox.load(yw(1)).last_error.is_some_and(|(_, error)| error == "no connection"));
    assert_eq!(world.states(2).await, [DeliveryState::Delivered; 200]);
    world.receivers.play(1, [Behaviour::Answer(200)]);
    world.pass(4 * HOUR).await;
    assert_eq!(world.states(1).await, [DeliveryState::Delivered; 200], "each by its own wait");
}

#[tokio::test(start_paused = true)]
async fn beyond_a_bound_the_newest_events_are_dropped_and_counted() {
    let default = OutboxBounds::default;
    for (bounds, kept, dropped) in [
        (OutboxBounds { pending: 4, ..default() }, [4, 4], 4),
        (OutboxBounds { pending_each: 4, ..default() }, [4, 6], 2),
    ] {
        let world = World::with(bounds, &[hook(1), hook(2)]).await;
        world.receivers.play(1, [Behaviour::Refuse]);
        for verification in 1..=6 {
            world.emits(verification, EventType::Created).await;
        }
        let listed = [world.listed(1).await.len(), world.listed(2).await.len()];
        assert_eq!((listed, world.outbox.backlog()), (kept, 4));
        let metrics = world.shards.metrics().text(None);
        let counted = format!("onceward_webhook_deliveries_total{{outcome=\"dropped\"}} {dropped}\n");
        assert!(metrics.contains(&counted), "{metrics}");
        world.receivers.play(1, [Behaviour::Answer(200)]);
        world.pass(HOUR).await;
        world.emits(7, EventType::Created).await;
        assert_eq!(world.states(1).await, [DeliveryState::Delivered; 5], "there is room again");
    }
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

#[test]
fn the_longest_record_of_events_fits_every_store() {
    let long = |n: usize| format!("{n}{}", "\u{1f600}".repeat(127));
    let tags: BTreeMap<_, _> = (0..10).map(|n| (long(n), long(n))).collect();
    let (channel, expires) = (Channel::Sms, Some(Timestamp::MAX));
    let (is_announced, events, deliveries) = Default::default();
    let mut record =
        EventRecord { number: number(), channel, tags, expires, is_announced, events, deliveries };
    let body = serde_json::json!({ "data": { "tags": record.tags } }).to_string();
    let (kind, service, at) = (EventType::Created, SERVICE, Timestamp::MAX);
    let mut add = |n: u8| {
        let (id, verification, to, body) = (EventId([n; 16]), Some(ve(0)), number(), body.clone());
        let event = Event { id, kind, service, verification, to, at, body };
        (1..=10).filter(|webhook| record.add(&event, yw(*webhook), at)).count()
    };
    assert_eq!(add(0), 10);
    let took: usize = (1..=60).map(&mut add).sum();
    assert!((90..=118).contains(&took), "{took}: what is pending stays");
    let detail = "\u{fffd}".repeat(128);
    let posted = Posted { status: Some(u16::MAX), detail, retry_after: Some(Duration::MAX) };
    let attempt = WebhookAttempt { at, took: Duration::MAX, posted };
    record.deliveries.iter_mut().for_each(|of| of.attempts = vec![attempt.clone(); 11]);
    let (longest, bodies) = (crate::shard::encode(&record).len(), record.events.len() * body.len());
    assert!(bodies < longest && longest <= EventRecord::LONGEST, "{longest} bytes, {bodies} of them bodies");
    assert!(record.events.len() < record.deliveries.len() / 9, "each event is in it once");
}
