//! More messages than a gateway can take: some wait, others are refused at once.

use futures_util::future::join_all;

use super::gateways::{accepted, hanging};
use super::world::{Setup, World, failed, number, secs};
use crate::config::Bounds;
use crate::delivery::error::DeliveryError;
use crate::domain::{Channel, GatewayName};

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

fn overloaded(world: &World) -> bool {
    world.delivery.is_overloaded(crate::domain::ServiceId::DEFAULT, number(), Channel::Sms)
}
