//! More messages than a gateway can take: some wait, others are refused at once.

use futures_util::future::join_all;

use super::gateways::accepted;
use super::world::{Setup, World, failed, number, secs, taken};
use crate::config::Bounds;
use crate::delivery::error::Failure;
use crate::domain::{Channel, GatewayName, ServiceId};

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_permit_for_half_of_its_time() {
    let slow = || accepted("SM").after_ms(3_000);
    let world = World::with_places(1, 100).and_answers(std::iter::repeat_with(slow).take(10));
    let results = join_all((0..6).map(|_| async {
        let result = world.delivers().await;
        (result.err(), world.elapsed_ms())
    }))
    .await;
    let late = || (Some(failed(Failure::Overloaded)), 5_000);
    assert_eq!(results, [(None, 3_000), (None, 6_000), late(), late(), late(), late()]);
    assert_eq!(world.sent_at(), [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_messages_are_refused_at_once() {
    let world = World::with_places(1, 2).and_answers((0..3).map(|_| accepted("SM").after_ms(1_000)));
    let results = join_all((0..5).map(|_| async {
        let result = world.delivers().await;
        (result.err(), world.elapsed_ms())
    }))
    .await;
    let refused = || (Some(failed(Failure::Overloaded)), 0);
    assert_eq!(results, [(None, 1_000), (None, 2_000), (None, 3_000), refused(), refused()]);
}

#[tokio::test(start_paused = true)]
async fn an_overload_can_be_seen_before_anything_is_decided() {
    let world = World::with_places(1, 0).and_answers([accepted("SM").after_ms(100)]);
    assert!(!overloaded(&world));
    let (sent, seen) = tokio::join!(world.delivers(), async { overloaded(&world) });
    assert!(sent.is_ok() && seen);
    assert!(!overloaded(&world));
}

#[tokio::test(start_paused = true)]
async fn where_there_may_be_another_way_no_overload_is_reported() {
    let bounds = Bounds { sends: 1, sends_waiting: 0, ..Bounds::default() };
    let other_gateway = Setup { bounds: bounds.clone(), ..Setup::routing("Twilio;Sinch") };
    let other_channel =
        Setup { bounds, ..Setup::routing("Twilio") }.with_workflow(&[Channel::Sms, Channel::WhatsApp]);
    for setup in [other_gateway, other_channel] {
        let world = setup.build().and(GatewayName::TwilioMessages, [accepted("SM").after_ms(100)]);
        let (sent, seen) = tokio::join!(world.requests(), async { overloaded(&world) });
        assert!(!seen, "{sent:?}");
    }
}

const FLOOD: ServiceId = ServiceId::new(1);
const OTHER: ServiceId = ServiceId::new(2);

#[tokio::test(start_paused = true)]
async fn a_flood_delays_no_service_that_sends_one_by_one() {
    let slow = || accepted("SM").after_ms(500);
    let world = World::with_places(8, 1_000).and_answers(std::iter::repeat_with(slow).take(400));
    let flood = join_all((0..70).map(|_| world.requests_of(FLOOD)));
    let other = async {
        let mut answered_at = Vec::new();
        for _ in 0..5 {
            world.waits(secs(1)).await;
            assert_eq!(world.requests_of(OTHER).await, taken("SM"));
            answered_at.push(world.elapsed_ms());
        }
        answered_at
    };
    let (flood, other) = tokio::join!(flood, other);
    assert_eq!(other, [1_500, 3_000, 4_500, 6_000, 7_500]);
    assert!(flood.iter().all(|ended| *ended == taken("SM")));
    assert_eq!(world.most_at_once(), 9, "a permit besides the eight is for services without a message");
}

fn overloaded(world: &World) -> bool {
    world.delivery.is_overloaded(ServiceId::DEFAULT, number(), Channel::Sms)
}
