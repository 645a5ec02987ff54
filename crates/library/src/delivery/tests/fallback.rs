//! The order of gateways, and the replacement of one channel by another.

use super::RETRY;
use super::gateways::{accepted, error, hanging};
use super::world::{KEY, Setup, World, failed, failure, secs, taken};
use crate::config::Bounds;
use crate::delivery::SendStatus;
use crate::delivery::error::Failure;
use crate::domain::Channel::{Call, Sms, WhatsApp};
use crate::domain::GatewayName::{Http, Mada, Sinch, TwilioMessages, TwilioVerify, TwilioVoice};
use crate::domain::{AttemptId, Held};
use crate::engine::{PossiblySent, SendResult};
use crate::gateway::ErrorClass;

const BOTH: &str = "Mada;Http";

#[tokio::test(start_paused = true)]
async fn gateways_with_the_prefix_are_asked_before_those_without_prefixes() {
    let world = Setup::routing("Twilio;Mada:+1415,+44;Sinch:+49;Http").build();
    let refused = || [error(ErrorClass::Refused)];
    let world = world.and(Mada, refused()).and(TwilioMessages, refused()).and(Http, [accepted("H1")]);
    assert_eq!(world.requests().await, taken("H1"));
    assert_eq!(world.asked(), [(Mada, Sms), (TwilioMessages, Sms), (Http, Sms)]);
    let rows: Vec<_> = world.rows().into_iter().map(|row| (row.gateway, row.priority, row.status)).collect();
    let failed = SendStatus::GatewayError;
    assert_eq!(rows, [(Mada, 0, failed), (TwilioMessages, 1, failed), (Http, 2, SendStatus::Sent)]);
}

#[tokio::test(start_paused = true)]
async fn after_an_error_of_one_gateway_the_next_is_asked_at_once() {
    let later = ErrorClass::Retry { after: Some(secs(5)) };
    for class in [RETRY, later, ErrorClass::Configuration, ErrorClass::Refused] {
        let world = Setup::routing(BOTH).build().and(Mada, [error(class)]).and(Http, [accepted("H1")]);
        assert_eq!(world.requests().await, taken("H1"));
        assert_eq!(world.elapsed_ms(), 0, "{class:?}");
        assert_eq!(world.times_asked(), 1, "the code may have been used while the first one was asked");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_every_gateway_would_share_ends_it() {
    for class in [ErrorClass::BadNumber, ErrorClass::Fraud] {
        let world = Setup::routing("Twilio;Http").with_voice().build().and(TwilioMessages, [error(class)]);
        assert_eq!(failure(world.requests().await).class, Some(class));
        assert_eq!(world.asked().len(), 1, "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_all_gateways_the_one_with_the_shortest_wait_is_asked_again() {
    let after = |s| error(ErrorClass::Retry { after: Some(secs(s)) });
    let world = Setup::routing("Mada;Http;Twilio").build();
    let world =
        world.and(Mada, [after(4)]).and(Http, [after(2), accepted("H2")]).and(TwilioMessages, [after(3)]);
    assert_eq!(world.requests().await, taken("H2"));
    assert_eq!(world.sent_at(), [0, 0, 0, 2_000]);
    assert_eq!(world.rows().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn messages_that_one_gateway_has_no_room_for_go_to_the_next() {
    let overloaded = |sends_waiting| {
        let bounds = Bounds { sends: 1, sends_waiting, ..Bounds::default() };
        let world = Setup { bounds, ..Setup::routing(BOTH) }.build().and(Mada, [hanging()]);
        world.and(Http, [accepted("H1"), accepted("H2")])
    };
    // No room to wait, and a wait for half of the gateway's time.
    for (sends_waiting, at) in [(0, 0), (10, 2_500)] {
        let world = overloaded(sends_waiting);
        let (hanging, moved_on) = tokio::join!(world.requests(), world.requests());
        assert_eq!((hanging.result, moved_on.result), (taken("H2"), taken("H1")));
        assert_eq!(world.sent_at(), [0, at, 5_000]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_texts_do_not_reach_is_called() {
    let world = Setup::routing("Twilio;Http").with_voice().build();
    let world =
        world.and(TwilioMessages, [error(ErrorClass::NotReachableHere)]).and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, taken("CA1"));
    assert_eq!(world.asked(), [(TwilioMessages, Sms), (TwilioVoice, Call)]);
    let sent = world.sent();
    assert_eq!(sent[0].code, sent[1].code);
    assert_eq!(world.rows()[1].priority, 0, "voice goes by the name of Twilio");
}

#[tokio::test(start_paused = true)]
async fn a_person_who_replied_stop_is_called_where_a_landline_is() {
    let world = Setup::routing("Twilio;Http").with_voice().build();
    let world = world.and(TwilioMessages, [error(ErrorClass::OptedOut)]).and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, taken("CA1"));
    assert_eq!(world.asked(), [(TwilioMessages, Sms), (TwilioVoice, Call)]);
    let mut setup = Setup::routing("Twilio;Http").with_voice();
    setup.settings.voice_fallback = false;
    let world = setup.build().and(TwilioMessages, [error(ErrorClass::OptedOut)]);
    assert_eq!(failure(world.requests().await), failed(Failure::OptedOut));
    assert_eq!(world.asked(), [(TwilioMessages, Sms)]);
}

#[tokio::test(start_paused = true)]
async fn each_further_message_goes_by_the_gateway_whose_turn_is_longest_ago() {
    let world = Setup::routing("Mada;Http;Twilio").build();
    for name in [Mada, Http, TwilioMessages] {
        world.gateway(name).answers([accepted("1"), accepted("2"), accepted("3")]);
    }
    for _ in 0..7 {
        world.sends_again().await;
    }
    let asked: Vec<_> = world.asked().into_iter().map(|(gateway, _)| gateway).collect();
    let round = [Mada, Http, TwilioMessages];
    assert_eq!(asked, [&round[..], &round[..], &round[..1]].concat());
    let codes: Vec<_> = world.sent().into_iter().map(|message| message.code).collect();
    assert!(codes.iter().all(|code| *code == codes[0]));
}

#[tokio::test(start_paused = true)]
async fn a_further_message_leaves_out_no_gateway_that_is_the_last_or_has_delivered() {
    let world = Setup::routing(BOTH).build().and(Mada, [accepted("1"), accepted("2"), accepted("3")]);
    world.requests().await;
    world.gateway(Http).answers([error(ErrorClass::Refused)]);
    assert_eq!(world.sends_again().await, taken("2"), "the promise that any gateway's message arrives");
    world.arrived("2");
    assert_eq!(world.sends_again().await, taken("3"));
    assert_eq!(world.asked(), [(Mada, Sms), (Http, Sms), (Mada, Sms), (Mada, Sms)]);
}

#[tokio::test(start_paused = true)]
async fn a_further_message_changes_to_or_from_another_code_only_at_last() {
    let gateways = |world: &World| world.asked().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for routing in ["Http;Sinch", "Sinch;Http"] {
        let world = Setup::routing(routing).build().and(Http, [accepted("1"), accepted("2"), accepted("3")]);
        world.gateway(Sinch).answers([error(ErrorClass::Refused)]);
        world.requests().await;
        let before = world.asked().len();
        assert_eq!(world.sends_again().await, taken("2"), "{routing}");
        assert_eq!(gateways(&world)[before..], [Http], "{routing}");
    }
    let world = Setup::routing("Http;Sinch").build().and(Http, [accepted("1"), error(ErrorClass::Refused)]);
    world.gateway(Sinch).answers([accepted("2")]);
    world.requests().await;
    world.sends_again().await;
    assert_eq!(gateways(&world), [Http, Http, Sinch]);
    let world = Setup::routing("Sinch;Http").build().and(Sinch, [accepted("1"), accepted("2")]);
    world.requests().await;
    world.sends_again().await;
    assert_eq!(gateways(&world), [Sinch, Sinch]);
}

#[tokio::test(start_paused = true)]
async fn a_whatsapp_message_falls_to_text_and_then_to_voice() {
    let unreachable = || error(ErrorClass::NotReachableHere);
    let world = Setup::routing("Twilio").with_voice().build();
    let world = world.and(TwilioMessages, [unreachable(), unreachable()]).and(TwilioVoice, [unreachable()]);
    let failed = failure(world.requests_by(WhatsApp).await);
    assert!(failed.is_about_the_number());
    assert_eq!(world.asked(), [(TwilioMessages, WhatsApp), (TwilioMessages, Sms), (TwilioVoice, Call)]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_no_gateway_serves_is_passed_over() {
    // Text by Verify, whose code it would be, is allowed: nothing was taken yet.
    let world = Setup::routing("Sinch").build().and(Sinch, [error(ErrorClass::NotReachableHere)]);
    assert!(failure(world.requests().await).is_about_the_number(), "voice is switched off");
    let world = Setup::routing("Mada").with_voice().build().and(Mada, [error(ErrorClass::NotReachableHere)]);
    assert!(
        failure(world.requests().await).is_about_the_number(),
        "voice is routed as Twilio, which is not asked"
    );
    assert_eq!(world.asked(), [(Mada, Sms)]);
    let setup = Setup::routing("Mada;Twilio").with_voice();
    let world =
        setup.build().and(Mada, [error(ErrorClass::NotReachableHere)]).and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, taken("CA1"));
}

#[tokio::test(start_paused = true)]
async fn a_channel_or_a_number_without_a_gateway_is_refused_without_a_row() {
    let world = Setup::routing("Mada").build();
    assert_eq!(failure(world.requests_by(Call).await), failed(Failure::NotServed));
    assert!(world.rows().is_empty());
    let world = Setup::routing("Mada:+49").build();
    let error = failure(world.requests().await);
    assert_eq!(error, failed(Failure::NotServed));
    assert_eq!((error.class, error.may_have_been_sent(), error.is_about_the_number()), (None, false, false));
}

#[tokio::test(start_paused = true)]
async fn the_holder_is_told_when_the_message_was_or_may_have_been_sent() {
    let held = |by, channel| Some(Held { by, channel });
    let world = Setup::routing("TwilioVerify").build().and(TwilioVerify, [accepted("VE1")]);
    let accepted_by_verify =
        SendResult::Accepted { message_id: "VE1".to_owned(), held: held(TwilioVerify, Sms) };
    assert_eq!(world.requests().await, accepted_by_verify);
    for (name, script, expected) in [
        (TwilioVerify, hanging(), held(TwilioVerify, Call)),
        (Sinch, error(ErrorClass::Ambiguous), held(Sinch, Call)),
        (Sinch, error(ErrorClass::BadNumber), None),
    ] {
        let routing = if name == Sinch { "Sinch" } else { "TwilioVerify" };
        let world = Setup::routing(routing).build().and(name, [script]);
        let held = match world.requests_by(Call).await.result {
            SendResult::Failed { may_have_been_sent } => may_have_been_sent.and_then(|sent| sent.held),
            SendResult::NumberRefused => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(held, expected);
    }
    let world = Setup::routing("Mada").build().and(Mada, [error(ErrorClass::Ambiguous)]);
    let may_have_been_sent = Some(PossiblySent { held: None });
    assert_eq!(world.requests().await.result, SendResult::Failed { may_have_been_sent }, "it holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_callback_names_the_row_of_its_attempt_and_needs_a_public_address() {
    let mut setup = Setup::routing(BOTH);
    setup.settings.public_url = Some("https://otp.example".into());
    let world =
        setup.build().and(Mada, [error(ErrorClass::Refused)]).and(Http, [accepted("H1"), accepted("H2")]);
    let world = world.and(Mada, [error(ErrorClass::Refused)]);
    assert_eq!(world.requests().await, taken("H1"));
    assert_eq!(world.requests().await, taken("H2"));
    let callbacks: Vec<_> = world.sent().into_iter().filter_map(|sent| sent.callback).collect();
    let attempts: Vec<_> = callbacks.iter().map(|callback| callback.attempt).collect();
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(
        attempts,
        world.rows().iter().map(|row| AttemptId { key: KEY, attempt: row.number }).collect::<Vec<_>>()
    );
    assert_eq!(&*callbacks[0].public_url, "https://otp.example");
    let world = Setup::routing(BOTH).build().and(Mada, [accepted("M1")]);
    world.requests().await;
    assert_eq!(world.sent()[0].callback, None);
}
