//! The results of a send and of a check, and texts of the caller's own.

use super::world::{ANNA, World, secs};
use crate::engine::CheckOutcome;
use crate::otp::{NumberError, NumberProblem, OtpError, Refusal, Timestamp, Verified};
use crate::verification::Reply;

#[test]
fn a_check_has_three_answers_and_the_reason_why_a_code_was_not_judged() {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let until = at.plus(secs(70));
    let locked = || Some(OtpError::Locked { remaining: secs(70) });
    for (outcome, expected) in [
        (Ok(CheckOutcome::Approved), (true, true, None, None)),
        (Ok(CheckOutcome::Wrong { attempts_left: 4, live: true }), (true, false, Some(4), None)),
        (Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }), (false, false, Some(5), None)),
        (Ok(CheckOutcome::LockedNow { until, live: true }), (true, false, None, locked())),
        (Ok(CheckOutcome::Locked { until }), (false, false, None, locked())),
        (Ok(CheckOutcome::GatewayFailed), (true, false, None, Some(OtpError::Gateway))),
        (Err(Refusal::Stopping), (false, false, None, Some(OtpError::Refused(Refusal::Stopping)))),
    ] {
        let verified = Verified::from(outcome.map(|outcome| Reply::new(outcome, at, None)));
        let Verified { request_valid, code_valid, attempts_left, error } = verified;
        assert_eq!((request_valid, code_valid, attempts_left, error), expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_number_is_an_error_and_nothing_is_counted() {
    let world = World::new();
    let otp = world.start().await;
    let short = NumberError::Impossible(1, NumberProblem::TooShort);
    for (phone, error) in [("Anna", NumberError::Sign('A')), ("+15550001", short)] {
        let error = OtpError::Number(error);
        assert_eq!(otp.send_sms(phone).await, Err(error.clone()));
        assert_eq!(otp.verify(phone, "123456").await, Verified::failed(error));
        assert_eq!(otp.inbox_code(phone), None);
    }
}

#[tokio::test]
async fn a_text_of_the_callers_own_has_the_code_in_it_or_is_refused() {
    let world = World::new();
    let otp = world.with_own().set("brand", "Acme").start().await.expect("an engine");
    for (text, words) in [
        ("", "must contain {code}"),
        ("{code} {name}", "{name}"),
        (&format!("{{code}}{}", "x".repeat(1_600)), "at most 1600"),
    ] {
        let refused = otp.send_sms_with(ANNA, text).await;
        assert!(matches!(&refused, Err(OtpError::Text(why)) if why.contains(words)), "{text:?}: {refused:?}");
    }
    assert!(world.provider.handed().is_empty());
    otp.send_sms_with(ANNA, "{brand}: _CODE_").await.expect("sent");
    let sent = world.provider.handed();
    assert_eq!(sent[0].text, format!("Acme: {}", sent[0].code));
}
