//! The common behaviour of an account's gateways: connections, account health, settings.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn without_a_connection_the_message_was_certainly_not_sent() {
    // A label has at most 63 characters: the resolver fails without a query.
    let unknown = format!("http://{}.invalid", "a".repeat(64));
    for (url, why) in [
        (REFUSING_URL, "was not reached: Connection refused"),
        (&unknown, "was not reached: failed to lookup address"),
    ] {
        let sent = messages(url, clock()).send(&message("012345")).await;
        let error = sent.expect_err("not accepted");
        assert_eq!((error.class, error.wait, error.whole_gateway), (ErrorClass::Retry, None, true));
        assert!(error.detail.starts_with(why), "{error}");
    }
}

#[tokio::test]
async fn a_reused_connection_that_ends_after_the_request_is_not_tried_again() {
    let closed = ["", "garbage\r\n\r\n"].map(|bytes| Reply::BytesThenClose(bytes.to_owned()));
    for ending in closed.into_iter().chain([Reply::Reset]) {
        let replies = [Reply::created("SM01"), ending, Reply::created("a second time")];
        let mut double = Double::playing(replies).await;
        let gateway = messages(&double.base_url(), clock());
        gateway.send(&message("first")).await.expect("accepted");
        let error = gateway.send(&message("second")).await.expect_err("unknown");
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Ambiguous, true));
        let bodies: Vec<_> = double.further_requests().iter().map(|r| r.form()[3].1.clone()).collect();
        assert_eq!(bodies, ["first", "second"]);
    }
}

#[tokio::test]
async fn a_refused_account_is_not_ready_until_a_send_works_or_a_minute_passes() {
    // The last code is none that is known.
    for code in [20_003, 30_002, 20_999] {
        let refused = || Reply::json(401, &twilio_error(code));
        let bad_number = || Reply::json(400, &twilio_error(21_211));
        let replies = [bad_number(), refused(), bad_number(), Reply::created("SM01"), refused()];
        let (double, clock) = (Double::playing(replies).await, clock());
        let gateway = messages(&double.base_url(), clock.clone());
        // A bad number says nothing about the account.
        for is_ready in [true, false, false, true, false] {
            let _ = gateway.send(&message("012345")).await;
            assert_eq!(gateway.readiness().is_ok(), is_ready, "{code}");
        }
        let reason = gateway.readiness().expect_err("not ready");
        assert!(reason.contains(&code.to_string()), "{reason}");
        assert!(code != 20_003 || reason.contains("TWILIO_AUTH_TOKEN"), "{reason}");
        clock.advance(Duration::from_millis(59_999));
        assert!(gateway.readiness().is_err());
        clock.advance(Duration::from_millis(1));
        assert!(gateway.readiness().is_ok());
    }
    // A missing sender can be one gateway's alone.
    let double = Double::playing([Reply::json(400, &twilio_error(21_603))]).await;
    let gateway = messages(&double.base_url(), clock());
    assert!(gateway.send(&message("012345")).await.is_err());
    assert_eq!(gateway.readiness(), Ok(()));
}

fn messages(url: &str, clock: Arc<ManualClock>) -> Arc<dyn Gateway> {
    settings(&Value::Null, url).build(clock).expect("a gateway")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

fn twilio_error(code: u32) -> String {
    json!({ "code": code, "message": "Not to +14155552671" }).to_string()
}
