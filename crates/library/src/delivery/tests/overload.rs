//! More messages than a gateway can take: some wait, others are refused at once.

use futures_util::future::join_all;

use super::*;

/// What is told about each of `messages` that are sent at once, and when.
async fn at_once(world: &World, messages: usize) -> Vec<String> {
    let message = async || format!("{} at {}", world.requests().await, world.elapsed_ms());
    join_all((0..messages).map(|_| message())).await
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_permit_for_half_of_its_time() {
    let world = World::with_places(1, 100, vec![accepted("SM").after_ms(3_000); 2]);
    let late = "Overloaded at 5000";
    assert_eq!(at_once(&world, 6).await, ["SM at 3000", "SM at 6000", late, late, late, late]);
    assert_eq!(world.sent_at(), [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_messages_are_refused_at_once() {
    let world = World::with_places(1, 2, vec![accepted("SM").after_ms(1_000); 3]);
    let refused = "Overloaded at 0";
    assert_eq!(at_once(&world, 5).await, ["SM at 1000", "SM at 2000", "SM at 3000", refused, refused]);
}

#[tokio::test(start_paused = true)]
async fn an_overload_is_seen_beforehand_where_there_is_no_other_way() {
    let by_two = [Channel::Sms, Channel::WhatsApp];
    for (setup, is_seen) in [
        (Setup::routing("Twilio"), true),
        (Setup::routing("Twilio;Sinch"), false),
        (Setup::routing("Twilio").with_workflow(&by_two), false),
    ] {
        let world = setup.with_places(1, 0).build();
        let world = world.and(TwilioMessages, [accepted("SM").after_ms(100)]);
        let is_overloaded = || world.delivery.is_overloaded(ServiceId::DEFAULT, number(), Channel::Sms);
        assert!(!is_overloaded());
        let (sent, seen) = tokio::join!(world.requests(), async { is_overloaded() });
        assert_eq!(seen, is_seen, "{sent:?}");
        assert!(!is_overloaded());
    }
}
