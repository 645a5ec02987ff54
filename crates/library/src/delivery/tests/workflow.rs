//! The fallback by delivery: one step after another, with the same code.

use super::*;
use crate::delivery::Reason;

/// Without a gateway for calls.
fn steps() -> Setup {
    Setup::routing("Twilio").with_workflow(&[Sms, Call, WhatsApp])
}

/// Calls are a step, and replace no text.
fn setup() -> Setup {
    Setup { beside: vec![TwilioVoice], ..steps() }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_taken_is_followed_by_the_next_step_after_its_time() {
    let world = setup().build().and(TwilioMessages, [accepted("SM1"), accepted("SM3")]);
    let world = world.and(TwilioVoice, [accepted("CA2")]);
    assert_eq!(world.requests().await, "SM1");
    assert_eq!(world.follows_up().await, "CA2");
    assert_eq!(world.follows_up().await, "SM3");
    assert_eq!(world.takes_plan(), None);
    assert_eq!(world.asked(), [(TwilioMessages, Sms), (TwilioVoice, Call), (TwilioMessages, WhatsApp)]);
    let (at, sent) = (world.sent_at(), world.sent());
    assert_eq!((at[1] / 1_000, at[2] / 1_000), (20, 40));
    assert!(sent.iter().all(|message| message.code == "012345"));
    let rows: Vec<_> = world.rows().into_iter().map(|row| (row.number, row.channel)).collect();
    assert_eq!(rows, [(0, Sms), (1, Call), (2, WhatsApp)]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_refused_gives_way_to_the_next_at_once() {
    for class in [ErrorClass::Refused, ErrorClass::Configuration, ErrorClass::NotReachableHere, DOUBT] {
        let world = setup().build().and(TwilioMessages, [error(class)]).and(TwilioVoice, [accepted("CA1")]);
        assert_eq!(world.requests().await, "CA1");
        assert_eq!(world.elapsed_ms(), 0, "{class:?}");
        let plan = world.takes_plan().expect("a plan");
        assert_eq!(
            (plan.channel, plan.step, plan.is_sent, plan.reason),
            (WhatsApp, 2, true, Reason::NextStep)
        );
        assert_eq!(plan.due, START.plus(secs(20)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_about_the_person_ends_the_workflow() {
    for (class, told) in [
        (ErrorClass::Fraud, "Blocked"),
        (ErrorClass::BadNumber, "BadNumber"),
        (ErrorClass::OptedOut, "OptedOut"),
    ] {
        let world = setup().build().and(TwilioMessages, [error(class)]);
        assert_eq!(world.requests().await, told);
        assert_eq!((world.takes_plan(), world.asked().len()), (None, 1), "{class:?}");
    }
    let world = setup().build().and(TwilioMessages, [accepted("SM1")]);
    let world = world.and(TwilioVoice, [error(ErrorClass::Fraud)]);
    world.requests().await;
    assert_eq!(world.follows_up().await, "Blocked");
    assert_eq!((world.takes_plan(), world.rows()[1].status), (None, SendStatus::Unsendable));
}

#[tokio::test(start_paused = true)]
async fn a_verification_that_names_a_channel_begins_at_its_step() {
    let no_step = Setup::routing("Twilio").with_voice().with_workflow(&[Sms, WhatsApp]);
    for (setup, next) in [(setup(), Some((WhatsApp, 2))), (no_step, None)] {
        let world = setup.build().and(TwilioVoice, [accepted("CA1")]);
        assert_eq!(world.requests_by(Call).await, "CA1");
        assert_eq!(world.takes_plan().map(|plan| (plan.channel, plan.step)), next);
    }
    let world = Setup::routing("Twilio").with_workflow(&[WhatsApp, Sms]).build();
    assert_eq!(world.delivery.first_channel_of(ServiceId::DEFAULT), WhatsApp, "it names none");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stands_in_is_the_next_step_and_not_made_twice() {
    let with_voice = steps().with_voice();
    let unreachable = || error(ErrorClass::NotReachableHere);
    let world = with_voice.build().and(TwilioMessages, [unreachable()]).and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, "CA1");
    assert_eq!(world.takes_plan().map(|plan| (plan.channel, plan.step)), Some((WhatsApp, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_two_steps_is_asked_once_for_one_request() {
    let world = Setup::routing("Simulator").with_workflow(&[Sms, Call, Sms]).build();
    let world = world.and(GatewayName::Simulator, [error(DOUBT), error(DOUBT)]);
    assert_eq!(world.requests().await, "Gateway, maybe sent");
}

#[tokio::test(start_paused = true)]
async fn a_step_for_which_no_time_is_left_is_made_in_the_background() {
    let world = setup().build().and(TwilioMessages, [error(ErrorClass::Refused).after_ms(9_500)]);
    let world = world.and(TwilioVoice, [accepted("CA1")]);
    assert_eq!(world.requests().await, "later, row 0");
    assert_eq!(world.follows_up().await, "CA1");
    assert_eq!(world.rows()[1].number, 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_may_work_later_is_retried_when_no_further_one_works() {
    let setup = Setup::routing("Twilio").with_retry().with_workflow(&[Sms, WhatsApp]);
    let answers = [error(RETRY), error(ErrorClass::Configuration), error(RETRY), accepted("SM4")];
    let world = setup.build().and(TwilioMessages, answers);
    assert_eq!(world.requests().await, "later, row 0");
    assert_eq!(world.follows_up().await, "later, row 0");
    assert_eq!(world.follows_up().await, "SM4");
    let channels: Vec<_> = world.asked().into_iter().map(|(_, channel)| channel).collect();
    assert_eq!(channels, [Sms, WhatsApp, Sms, Sms]);
}

/// Mada or Verify sends texts, and Verify holds its code; Verify or Twilio Voice makes calls.
fn mixed() -> World {
    let setup = Setup::routing("Mada;TwilioVerify;Twilio").with_workflow(&[Sms, Call]);
    Setup { beside: vec![TwilioVoice], ..setup }.build()
}

#[tokio::test(start_paused = true)]
async fn a_code_of_ours_is_repeated_by_no_gateway_that_makes_its_own() {
    let world = mixed().and(Mada, [accepted("M1")]).and(TwilioVoice, [accepted("CA2")]);
    assert_eq!(world.requests().await, "M1");
    assert_eq!(world.follows_up().await, "CA2");
    assert_eq!(world.asked(), [(Mada, Sms), (TwilioVoice, Call)]);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_a_gateway_made_is_repeated_by_that_gateway_alone() {
    let by_verify = Some(Held { by: TwilioVerify, channel: Sms });
    let world = mixed().and(Mada, [error(ErrorClass::Refused)]);
    let world = world.and(TwilioVerify, [accepted("VE1"), error(ErrorClass::Refused)]);
    assert_eq!(world.requests().await, "VE1, held by TwilioVerify Sms");
    let mut job = world.planned(world.takes_plan().expect("a plan"));
    job.permitted.permit.verification.held = by_verify;
    assert_eq!(world.run(job).await, "Gateway");
    assert_eq!(world.asked(), [(Mada, Sms), (TwilioVerify, Sms), (TwilioVerify, Call)]);
}
