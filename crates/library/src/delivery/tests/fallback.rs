//! The order of gateways, and the replacement of one channel by another.

use super::*;
use crate::gateway::ReceiptStatus;

#[tokio::test(start_paused = true)]
async fn messages_that_one_gateway_has_no_room_for_go_to_the_next() {
    // No room to wait, and a wait for half of the gateway's time.
    for (sends_waiting, at) in [(0, 0), (10, 2_500)] {
        let world = Setup::routing(BOTH).with_places(1, sends_waiting).build();
        let world = world.and(Mada, [hanging()]).and(Http, [accepted("H1"), accepted("H2")]);
        let (hanging, moved_on) = tokio::join!(world.requests(), world.requests());
        assert_eq!((&*hanging, &*moved_on), ("H2", "H1"));
        assert_eq!(world.sent_at(), [0, at, 5_000]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_landline_or_a_person_who_replied_stop_is_called() {
    for (class, failure) in
        [(ErrorClass::NotReachableHere, "NotReachable"), (ErrorClass::OptedOut, "OptedOut")]
    {
        let world = Setup::routing("Twilio;Http").with_voice().build();
        let world = world.and(TwilioMessages, [error(class)]).and(TwilioVoice, [accepted("CA1")]);
        assert_eq!(world.requests().await, "CA1");
        assert_eq!(world.asked(), [(TwilioMessages, Sms), (TwilioVoice, Call)]);
        let sent = world.sent();
        assert_eq!(sent[0].code, sent[1].code);
        assert_eq!(world.rows()[1].priority, 0, "voice goes by the name of Twilio");
        let world = Setup::routing("Twilio;Http").build().and(TwilioMessages, [error(class)]);
        assert_eq!(world.requests().await, failure, "voice is switched off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_message_goes_first_by_a_gateway_that_was_not_asked() {
    let mut world = Setup::routing("Mada;Http;Twilio").build();
    let round = [Mada, Http, TwilioMessages];
    for name in round {
        world = world.and(name, vec![accepted("1"); 3]);
    }
    for _ in 0..7 {
        world.sends_again().await;
    }
    assert_eq!(gateways(&world), [&round[..], &round[..], &round[..1]].concat());
    assert!(world.sent().iter().all(|message| message.code == "012345"));
    let world = Setup::routing("Mada;Http;Twilio").build().and(Mada, [accepted("1")]);
    world.requests_with(|job| job.permitted.asked = vec![Http]).await;
    assert_eq!(gateways(&world), [Mada], "it was skipped before");
}

#[tokio::test(start_paused = true)]
async fn a_further_message_may_go_by_the_last_gateway_or_one_that_delivered() {
    let world = Setup::routing(BOTH).build().and(Mada, [accepted("1"), accepted("2"), accepted("3")]);
    world.requests().await;
    world.provider.answers(Http, [error(ErrorClass::Refused)]);
    assert_eq!(world.sends_again().await, "2", "the promise that any gateway's message arrives");
    world.log.lock().rows.last_mut().expect("the last message").receipt = Some(ReceiptStatus::Delivered);
    assert_eq!(world.sends_again().await, "3");
    assert_eq!(world.asked(), [(Mada, Sms), (Http, Sms), (Mada, Sms), (Mada, Sms)]);
}

#[tokio::test(start_paused = true)]
async fn a_further_message_changes_to_or_from_another_code_only_at_last() {
    let (taken, refused) = (|| vec![accepted("1"), accepted("2")], || error(ErrorClass::Refused));
    for (routing, of_http, of_sinch, asked) in [
        ("Http;Sinch", taken(), Vec::new(), vec![Http, Http]),
        ("Http;Sinch", vec![accepted("1"), refused()], vec![accepted("2")], vec![Http, Http, Sinch]),
        ("Sinch;Http", taken(), vec![refused()], vec![Sinch, Http, Http]),
        ("Sinch;Http", Vec::new(), taken(), vec![Sinch, Sinch]),
    ] {
        let world = Setup::routing(routing).build().and(Http, of_http).and(Sinch, of_sinch);
        world.requests().await;
        world.sends_again().await;
        assert_eq!(gateways(&world), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_whatsapp_message_falls_to_text_and_then_to_voice() {
    let unreachable = || error(ErrorClass::NotReachableHere);
    let world = Setup::routing("Twilio").with_voice().build();
    let world = world.and(TwilioMessages, [unreachable(), unreachable()]).and(TwilioVoice, [unreachable()]);
    assert_eq!(world.requests_by(WhatsApp).await, "NotReachable");
    assert_eq!(world.asked(), [(TwilioMessages, WhatsApp), (TwilioMessages, Sms), (TwilioVoice, Call)]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_no_gateway_serves_is_passed_over() {
    let world = Setup::routing("Mada").with_voice().build().and(Mada, [error(ErrorClass::NotReachableHere)]);
    assert_eq!(world.requests().await, "NotReachable", "voice is routed as Twilio, which is not asked");
    let world = Setup::routing("Mada;Twilio").with_voice().build();
    let world = world.and(Mada, [error(ErrorClass::NotReachableHere)]).and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, "CA1");
}

#[tokio::test(start_paused = true)]
async fn a_callback_names_the_row_of_its_attempt_and_needs_a_public_address() {
    let mut setup = Setup::routing(BOTH);
    setup.settings.public_url = Some("https://otp.example".into());
    let world = setup.build().and(Mada, vec![error(ErrorClass::Refused); 2]);
    let world = world.and(Http, vec![accepted("H"); 2]);
    world.requests().await;
    world.requests().await;
    for (attempt, sent) in (0..).zip(world.sent()) {
        let callback = sent.callback.expect("a callback");
        assert_eq!(callback.attempt, AttemptId { key: KEY, attempt });
        assert_eq!(&*callback.public_url, "https://otp.example");
        assert_eq!(world.rows()[usize::from(attempt)].number, attempt);
    }
    let world = Setup::routing(BOTH).build().and(Mada, [accepted("M1")]);
    world.requests().await;
    assert_eq!(world.sent()[0].callback, None);
}
