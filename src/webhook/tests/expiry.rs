//! Ends that come by themselves.

use super::*;

impl World {
    fn expect_end(&self, verification: u8, after: Duration) {
        let expires = self.clock.now().plus(after);
        self.outbox.expect_end(SERVICE, ve(verification), expires, about());
    }
}

#[tokio::test(start_paused = true)]
async fn a_verification_that_does_not_end_expires_at_its_time() {
    let world = World::new().await;
    world.expect_end(1, MINUTE);
    world.pass(69 * SECOND).await;
    assert_eq!(world.asked(), []);
    world.pass(3 * SECOND).await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["verification.expired"]);
    assert_eq!(asked[0].body["timestamp"], "2023-11-14T22:14:20.000Z");
    assert_eq!(asked[0].body["data"]["status"], "expired");
    assert_eq!(world.outbox.counts().expected, 0);
    world.settle().await;
    assert_eq!(world.store.snapshot().len(), 1, "only the delivery is left on the disk");
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_otherwise_does_not_expire() {
    for kind in EventType::ALL {
        let world = World::new().await;
        world.expect_end(1, MINUTE);
        world.expect_end(2, MINUTE);
        world.settle().await;
        world.emit(1, kind);
        world.pass(2 * MINUTE).await;
        let first = ve(1).to_string();
        let told: Vec<_> = world.asked().into_iter().filter(|a| a.verification == first).collect();
        let expected = match kind {
            EventType::Created | EventType::Sent | EventType::MessageDelivered | EventType::MessageFailed => {
                vec![kind.as_str(), "verification.expired"]
            }
            _ => vec![kind.as_str()],
        };
        assert_eq!(kinds(&told), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_later_replaces_what_was_expected_before() {
    let world = World::new().await;
    world.expect_end(1, MINUTE);
    world.pass(30 * SECOND).await;
    world.expect_end(1, MINUTE);
    world.pass(55 * SECOND).await;
    assert_eq!(world.asked(), []);
    world.pass(30 * SECOND).await;
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_survives_a_crash_and_comes_late_rather_than_never() {
    let mut world = World::new().await;
    world.expect_end(1, MINUTE);
    world.expect_end(2, HOUR);
    world.expect_end(3, MINUTE);
    world.settle().await;
    world.emit(3, EventType::Approved);
    world.settle().await;
    world.asked();
    world.clock.advance(10 * MINUTE);
    world.crash().await;
    world.settle().await;
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].verification.as_str(), asked[0].kind.as_str()),
        (ve(1).to_string().as_str(), "verification.expired")
    );
    assert_eq!(world.outbox.counts().expected, 1);
}

#[tokio::test(start_paused = true)]
async fn it_costs_nothing_where_nobody_is_told_anything_and_there_is_a_bound() {
    let disabled = Webhook { status: WebhookStatus::Disabled, ..hook(1) };
    let world = World::with(OutboxBounds::default(), &[disabled]).await;
    world.expect_end(1, MINUTE);
    world.settle().await;
    assert_eq!((world.outbox.counts().expected, world.store.snapshot().len()), (0, 0));
    let world = World::with(OutboxBounds { expected: 2, ..OutboxBounds::default() }, &[hook(1)]).await;
    for verification in [1, 2, 3, 1] {
        world.expect_end(verification, MINUTE);
    }
    let counts = world.outbox.counts();
    assert_eq!((counts.expected, counts.dropped), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_at_once_never_reaches_the_disk() {
    let world = World::with(OutboxBounds::default(), &[hook_for(1, &["verification.expired"])]).await;
    world.expect_end(1, MINUTE);
    world.emit(1, EventType::Approved);
    world.pass(2 * MINUTE).await;
    assert_eq!((world.store.commits(), world.asked().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_tags_of_the_request_that_began_a_verification_come_with_each_of_its_events_until_its_end() {
    let world =
        World::with(OutboxBounds::default(), &[hook_for(1, &["verification.approved", "message.delivered"])])
            .await;
    let untagged = || About { tags: BTreeMap::new(), ..about() };
    world.expect_end(1, MINUTE);
    world.outbox.expect_end(SERVICE, ve(1), START.plus(HOUR), untagged());
    for kind in [EventType::MessageDelivered, EventType::Approved, EventType::MessageDelivered] {
        let event = Event { kind, service: SERVICE, verification: ve(1), at: START, about: untagged() };
        world.outbox.emit(&event);
        world.settle().await;
    }
    let tags: Vec<_> =
        world.asked().iter().map(|asked| asked.body["data"]["tags"]["order"].clone()).collect();
    assert_eq!(tags, ["17".into(), "17".into(), serde_json::Value::Null]);
}
