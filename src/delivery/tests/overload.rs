//! More messages than a gateway can take: some wait, others are refused at once.

use futures_util::future::join_all;

use super::gateways::{accepted, hanging};
use super::world::{Setup, World, failed, number, secs, taken};
use crate::config::Bounds;
use crate::delivery::error::DeliveryError;
use crate::domain::{Channel, GatewayName, ServiceId};

#[tokio::test(start_paused = true)]
async fn a_message_whose_permit_would_come_too_late_is_refused_at_once() {
    let slow = || accepted("SM").after_ms(3_000);
    let world = World::with_places(1, 100).and_answers(std::iter::repeat_with(slow).take(10));
    assert!(world.delivers("{code}").await.is_ok(), "from here on it is known how slow the gateway is");

    let results = join_all((0..6).map(|_| async {
        let result = world.delivers("{code}").await;
        (result.is_ok(), result.err(), world.elapsed_ms())
    }))
    .await;
    // The third waiting message would get a place after 9 s, with no time left for an answer.
    let refused = || (false, Some(failed(&DeliveryError::Overloaded)), 3_000);
    let served = |at| (true, None, at);
    assert_eq!(results, [served(6_000), served(9_000), served(12_000), refused(), refused(), refused()]);
    assert_eq!(world.sent_at(), [0, 3_000, 6_000, 9_000]);
}

#[tokio::test(start_paused = true)]
async fn while_a_gateway_is_silent_fewer_and_fewer_wait_for_it() {
    let world = World::with_places(1, 100).and_answers([hanging(), accepted("never")]);
    let (first, second, third) = tokio::join!(
        world.delivers("{code}"),
        async {
            world.waits(secs(4)).await;
            (world.delivers("{code}").await, world.elapsed_ms())
        },
        async {
            world.waits(secs(6)).await;
            (world.delivers("{code}").await, world.elapsed_ms())
        }
    );
    assert_eq!(first, Err(failed(&DeliveryError::NoAnswerInTime)));
    // At 4 s it could still have answered in time for two. At 7 s, half of what is left then, no more.
    assert_eq!(second, (Err(failed(&DeliveryError::Overloaded)), 7_250));
    assert_eq!(world.sent_at(), [0]);
    assert_eq!(third, (Err(failed(&DeliveryError::Overloaded)), 6_000));
}

#[tokio::test(start_paused = true)]
async fn of_the_messages_before_the_first_answer_the_last_are_refused_first() {
    let world = World::with_places(2, 100).and_answers((0..2).map(|_| hanging()));
    let results = join_all((0..10).map(|_| async {
        let result = world.delivers("{code}").await;
        (result, world.elapsed_ms())
    }))
    .await;
    let (at_the_gateway, waited) = results.split_at(2);
    assert!(
        at_the_gateway.iter().all(|end| *end == (Err(failed(&DeliveryError::NoAnswerInTime)), 10_000)),
        "{results:?}"
    );
    // A message behind seven others gets a place after four answers at the earliest.
    let refused_at: Vec<u128> = waited.iter().map(|(_, at)| *at).collect();
    assert!(refused_at.is_sorted_by(|earlier, later| earlier >= later), "{refused_at:?}");
    assert_eq!((refused_at[0], refused_at[7]), (5_250, 2_250));
    assert!(
        waited.iter().all(|(result, _)| *result == Err(failed(&DeliveryError::Overloaded))),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_pace_picks_up_messages_wait_again() {
    let world = World::with_places(1, 100);
    let world = world.and_answers([accepted("slow").after_ms(9_000)]);
    assert!(world.delivers("{code}").await.is_ok());
    let world = world.and_answers((0..40).map(|_| accepted("fast").after_ms(100)));
    let two = tokio::join!(world.delivers("{code}"), world.delivers("{code}"));
    assert_eq!(two.1, Err(failed(&DeliveryError::Overloaded)));
    for _ in 0..30 {
        assert!(
            world.delivers("{code}").await.is_ok(),
            "a message that finds a free permit is never refused"
        );
    }
    let two = tokio::join!(world.delivers("{code}"), world.delivers("{code}"));
    assert!(two.0.is_ok() && two.1.is_ok(), "{two:?}");
}

#[tokio::test(start_paused = true)]
async fn when_one_gateway_is_overloaded_the_next_one_is_asked_at_once() {
    let bounds = Bounds { sends: 1, ..Bounds::default() };
    let world = Setup { bounds, ..Setup::routing("Twilio;Mada") }.build();
    let slow = || accepted("SM").after_ms(4_000);
    let world = world
        .and(GatewayName::TwilioMessages, std::iter::repeat_with(slow).take(3))
        .and(GatewayName::Mada, [accepted("S1")]);
    assert!(world.delivers("{code}").await.is_ok());
    let (first, second) = tokio::join!(world.delivers("{code}"), async {
        (world.delivers("{code}").await, world.elapsed_ms())
    });
    assert_eq!((first.as_deref(), second.0.as_deref()), (Ok("SM"), Ok("S1")));
    assert_eq!(second.1, 4_000, "an answer would have come after more than half of the budget");
}

#[tokio::test(start_paused = true)]
async fn an_overload_can_be_seen_before_anything_is_decided() {
    let world = World::with_places(1, 0).and_answers([accepted("SM").after_ms(100)]);
    assert!(!overloaded(&world));
    let (sent, seen) = tokio::join!(world.delivers("{code}"), async { overloaded(&world) });
    assert!(sent.is_ok() && seen);
    let world = world.and_answers([accepted("SM").after_ms(9_000)]);
    let (sent, wait) = tokio::join!(world.delivers("{code}"), async {
        world.waits(secs(4)).await;
        world.delivery.overload(ServiceId::DEFAULT, number(), Channel::Sms)
    });
    assert!(sent.is_ok());
    assert_eq!(wait, Some(secs(4)), "as long as the gateway has been silent");
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
async fn a_flood_leaves_a_permit_to_every_other_service() {
    let slow = || accepted("SM").after_ms(500);
    let world = World::with_places(8, 1_000).and_answers(std::iter::repeat_with(slow).take(400));
    let flood = join_all((0..120).map(|_| world.requests_of(FLOOD)));
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
    assert_eq!(world.most_at_once(), 9, "the others have a quarter more than one service");
}

#[tokio::test(start_paused = true)]
async fn a_returned_permit_goes_to_the_service_with_the_fewest() {
    let slow = || accepted("SM").after_ms(1_000);
    let world = World::with_places(4, 100).and_answers(std::iter::repeat_with(slow).take(40));
    let served = |service| {
        let world = &world;
        async move {
            let ended = join_all((0..10).map(|_| async {
                assert_eq!(world.requests_of(service).await, taken("SM"));
                world.elapsed_ms()
            }));
            ended.await
        }
    };
    let (flood, other) = tokio::join!(served(FLOOD), served(OTHER));
    let within = |ended: &[u128], at| ended.iter().filter(|ended| **ended <= at).count();
    // The flood was first: four permits against one. Then both have nearly the same number.
    assert_eq!([within(&flood, 1_000), within(&other, 1_000)], [4, 1]);
    assert!(within(&flood, 4_000).abs_diff(within(&other, 4_000)) <= 3, "{flood:?} {other:?}");
    assert!(within(&other, 5_000) >= 9, "{flood:?} {other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_gives_up_leaves_its_permit_to_the_next() {
    let world = World::with_places(1, 10).and_answers([accepted("SM1").after_ms(1_000), accepted("SM2")]);
    let (first, given_up, last) = tokio::join!(
        world.requests_of(FLOOD),
        tokio::time::timeout(secs(1), world.requests_of(FLOOD)),
        world.requests_of(FLOOD)
    );
    assert_eq!(first, taken("SM1"));
    assert!(given_up.is_err());
    assert_eq!(last, taken("SM2"));
    assert_eq!(world.elapsed_ms(), 1_000);
}

fn overloaded(world: &World) -> bool {
    world.delivery.overload(ServiceId::DEFAULT, number(), Channel::Sms).is_some()
}
