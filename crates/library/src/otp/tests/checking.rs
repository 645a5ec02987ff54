//! The results of a send and of a check, and texts of the caller's own.

use std::sync::Arc;

use super::world::{ANNA, Own, World, code, secs, wrong};
use crate::otp::{Channel, GatewayName, NumberError, Otp, OtpBuilder, OtpError, Verified};
use crate::registry::TestNumber;

/// `request_valid`, `code_valid`, `attempts_left`, `error`.
type Row = (bool, bool, Option<u8>, Option<OtpError>);

fn row(verified: &Verified) -> Row {
    let error = verified.error().cloned();
    (verified.request_valid(), verified.code_valid(), verified.attempts_left(), error)
}

const RIGHT: Row = (true, true, None, None);

const fn wrong_with(left: u8) -> Row {
    (true, false, Some(left), None)
}

const fn nothing_live(left: u8) -> Row {
    (false, false, Some(left), None)
}

#[tokio::test]
async fn a_right_code_is_valid_once() {
    let world = World::new();
    let otp = world.start().await;
    let sent = otp.send_sms(ANNA).await.expect("sent");
    assert_eq!(sent.attempts_left(), 5);
    assert!(sent.message_id().starts_with("SM"), "{sent:?}");
    let code = code(&otp);
    assert_eq!(row(&otp.verify(ANNA, &wrong(&code)).await), wrong_with(4));
    assert_eq!(row(&otp.verify(ANNA, &code).await), RIGHT);
    // A verified number starts again without a memory.
    assert_eq!(row(&otp.verify(ANNA, &code).await), nothing_live(5));
}

#[tokio::test]
async fn what_cannot_be_a_number_is_an_error_and_nothing_is_counted() {
    let world = World::new();
    let otp = world.start().await;
    for (phone, error) in [
        ("", NumberError::Unreadable),
        ("Anna", NumberError::Unreadable),
        ("4155550123", NumberError::Unreadable),
        ("+1415555012345678901234567890123456789012345", NumberError::Unreadable),
        ("+1415", NumberError::Unreadable),
        ("+15550001", NumberError::Impossible(1)),
    ] {
        let sent = otp.send_sms(phone).await;
        assert!(matches!(sent, Err(OtpError::Number(_))), "{phone:?}: {sent:?}");
        let verified = otp.verify(phone, "123456").await;
        assert!(!verified.request_valid() && !verified.code_valid(), "{phone:?}");
        assert!(matches!(verified.error(), Some(OtpError::Number(_))), "{phone:?}: {error}");
        assert_eq!(otp.inbox_code(phone), None);
    }
    assert_eq!(otp.send_sms("+15550001").await, Err(OtpError::Number(NumberError::Impossible(1))));
}

#[tokio::test]
async fn a_lockout_is_told_in_whole_seconds_and_never_as_none() {
    for (millis, told) in [(1, "1 s"), (1_000, "1 s"), (1_001, "2 s")] {
        let error = OtpError::Locked { remaining: std::time::Duration::from_millis(millis) };
        assert!(error.to_string().ends_with(told), "{error}");
    }
}

#[test]
fn a_handle_and_what_it_does_can_move_between_threads() {
    fn moves<T: Send + Sync>(_: &T) {}
    fn is_sent<T: Send>(_: &T) {}
    let check = |otp: &Otp| {
        moves(otp);
        is_sent(&otp.send_sms(ANNA));
        is_sent(&otp.verify(ANNA, ""));
        is_sent(&otp.stop());
        is_sent(&otp.provider_callback("/", [("a", "b")], b""));
    };
    is_sent(&World::new().builder().start());
    let _ = check;
}

#[tokio::test]
async fn a_test_number_of_the_default_service_is_sent_nothing_and_has_its_code() {
    let world = World::new();
    let own = Arc::new(Own::new(GatewayName::Http));
    let otp = world.builder().gateway(own.clone()).start().await.expect("an engine");
    let registry = &otp.engine.running.registry;
    let expires = otp.engine.running.shards.clock().now().plus(secs(3_600));
    let (pattern, code) = (ANNA.to_owned(), "471100".to_owned());
    let number = TestNumber { pattern, code, expires, force: true };
    registry.put_test_number(registry.default_service().sid, number).await.expect("a test number");
    for _ in 0..4 {
        otp.send_sms(ANNA).await.expect("sent");
        assert!(!otp.verify(ANNA, "000000").await.code_valid());
    }
    assert!(otp.verify(ANNA, "471100").await.code_valid());
    assert!(own.sent().is_empty(), "a message was sent");
    // After its end it is an ordinary number.
    world.clock.advance(secs(3_601));
    otp.send_sms(ANNA).await.expect("sent");
    assert_eq!(own.sent().len(), 1);
}

async fn with(builder: impl FnOnce(OtpBuilder) -> OtpBuilder) -> (Otp, Arc<Own>, World) {
    let world = World::new();
    let own = Arc::new(Own::new(GatewayName::Http).serving(&Channel::ALL));
    let otp = builder(world.builder().gateway(own.clone())).start().await.expect("an engine");
    (otp, own, world)
}

#[tokio::test]
async fn a_text_of_the_callers_own_has_the_code_in_it() {
    let (otp, own, _world) = with(|builder| builder.set("brand", "Acme")).await;
    otp.send_sms_with(ANNA, "{brand}: _CODE_").await.expect("sent");
    let sent = own.sent();
    assert_eq!(sent[0].text, format!("Acme: {}", sent[0].code));
}

#[tokio::test]
async fn a_text_without_a_place_for_the_code_is_an_error_and_nothing_is_sent() {
    let (otp, own, _world) = with(|builder| builder).await;
    for (text, words) in [
        ("Hello", "must contain {code}"),
        ("", "must contain {code}"),
        ("{code} {name}", "{name}"),
        (&format!("{{code}}{}", "x".repeat(1_600)), "at most 1600"),
    ] {
        let refused = otp.send_sms_with(ANNA, text).await;
        assert!(matches!(&refused, Err(OtpError::Text(why)) if why.contains(words)), "{text:?}: {refused:?}");
    }
    assert!(own.sent().is_empty());
}
