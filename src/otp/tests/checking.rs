//! The results of a send and of a check.

use super::world::{ANNA, World, code, secs, wrong};
use crate::otp::{NumberError, Otp, OtpError, Verified};

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
        ("+15550001", NumberError::Impossible),
    ] {
        let sent = otp.send_sms(phone).await;
        assert!(matches!(sent, Err(OtpError::Number(_))), "{phone:?}: {sent:?}");
        let verified = otp.verify(phone, "123456").await;
        assert!(!verified.request_valid() && !verified.code_valid(), "{phone:?}");
        assert!(matches!(verified.error(), Some(OtpError::Number(_))), "{phone:?}: {error}");
        assert_eq!(otp.inbox_code(phone), None);
    }
    assert_eq!(otp.send_sms("+15550001").await, Err(OtpError::Number(NumberError::Impossible)));
}

#[tokio::test]
async fn a_code_and_a_lockout_end_when_their_time_is_over() {
    let world = World::new();
    let builder = world.builder().set("otp-length", 4).set("otp-timeout", "60s");
    let builder = builder.set("otp-max-attempts", 1).set("otp-lock-timeout", "90s");
    let otp = builder.start().await.expect("an engine");
    otp.send_sms(ANNA).await.expect("sent");
    let first = code(&otp);
    assert_eq!(first.len(), 4);
    world.clock.advance(secs(60));
    let late = otp.verify(ANNA, &first).await;
    assert_eq!(row(&late), (false, false, None, Some(OtpError::Locked { remaining: secs(90) })));
    world.clock.advance(secs(89));
    assert_eq!(otp.send_sms(ANNA).await, Err(OtpError::Locked { remaining: secs(1) }));
    world.clock.advance(secs(1));
    otp.send_sms(ANNA).await.expect("sent");
    assert_eq!(row(&otp.verify(ANNA, &code(&otp)).await), RIGHT);
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
