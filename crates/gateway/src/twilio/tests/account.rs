//! The common behaviour of an account's gateways: answers, connections, account health, settings.

use super::*;
use crate::double::{answer, created_body};

#[tokio::test]
async fn every_answer_says_whether_it_was_sent_and_whether_all_messages_meet_it() {
    use ErrorClass::{
        Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
    };
    const SOON: ErrorClass = Retry { after: None };
    const DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };
    let coded = |status, code| Reply::json(status, &twilio_error(code));
    let made = |body: &str| Reply::json(201, body);
    let failed = |code: &str| made(&format!(r#"{{"sid":"SM1","status":"failed","error_code":{code}}}"#));
    let cut_off = answer(201, &[], &created_body(SID));
    let cases = [
        (coded(400, 21_211), BadNumber, false),
        (coded(400, 21_614), NotReachableHere, false),
        (coded(400, 21_610), OptedOut, false),
        (coded(400, 30_450), Fraud, false),
        (coded(400, 30_007), Refused, false),
        (coded(400, 21_608), Configuration, false),
        (coded(400, 21_603), Configuration, true),
        (coded(401, 20_003), Configuration, true),
        (coded(429, 20_429), SOON, true),
        (coded(429, 60_203), Refused, false),
        (coded(429, 60_212), SOON, false),
        (coded(429, 63_038), DAY, true),
        (coded(400, 98_765), Refused, false),
        (coded(429, 98_765), SOON, true),
        // A server error leaves open how far the request came, unless it was never processed.
        (coded(500, 21_211), Ambiguous, true),
        (coded(503, 20_429), SOON, true),
        (Reply::json(400, ""), Refused, false),
        (Reply::json(404, r#"{"code":"a text"}"#), Refused, false),
        (Reply::json(503, "<html>no JSON</html>"), Ambiguous, true),
        (failed("null"), Refused, false),
        (failed("\"21610\""), OptedOut, false),
        (failed("30002"), Configuration, true),
        (made(""), Ambiguous, true),
        (made("not JSON"), Ambiguous, true),
        (made(r#"{"sid":7}"#), Ambiguous, true),
        (made(r#"{"sid":"SM with spaces"}"#), Ambiguous, true),
        (made(r#"{"sid":".."}"#), Ambiguous, true),
        (made(&created_body(&"9".repeat(65))), Ambiguous, true),
        (Reply::BytesThenClose(cut_off[..cut_off.len() - 1].to_owned()), Ambiguous, true),
        (Reply::BytesThenClose("garbage\r\n\r\n".to_owned()), Ambiguous, true),
        (Reply::Reset, Ambiguous, true),
    ];
    for (reply, class, whole_gateway) in cases {
        let mut double = Double::playing([reply.clone()]).await;
        let error = failure_of(&double.base_url()).await;
        assert_eq!(double.further_requests().len(), 1, "asked once");
        assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{reply:?}");
        assert_eq!(error.gateway, GatewayName::TwilioMessages);
    }
    let error = failure_of(&refusing_url().await).await;
    assert_eq!((error.class, error.whole_gateway), (SOON, true));
    assert_eq!(error.detail, "was not reached: no connection: connection refused");
}

#[tokio::test]
async fn a_retry_waits_as_long_as_twilio_asks() {
    let seconds = |s| ErrorClass::Retry { after: Some(Duration::from_secs(s)) };
    for (code, class) in [(20_429, seconds(3)), (63_038, seconds(3)), (21_211, ErrorClass::BadNumber)] {
        let reply = Reply::json_with(429, &[("Retry-After", "3")], &twilio_error(code));
        let double = Double::playing([reply]).await;
        assert_eq!(failure_of(&double.base_url()).await.class, class, "{code}");
    }
}

#[tokio::test]
async fn an_error_says_what_happened_and_never_to_whom() {
    let body = r#"{"code":21211,"message":"The 'To' number +14155552671 with 012345 is not valid"}"#;
    let double = Double::playing([Reply::json(400, body)]).await;
    assert_eq!(
        failure_of(&double.base_url()).await.to_string(),
        "TwilioMessages answered HTTP 400: the recipient is not a phone number (class BadNumber, code 21211)"
    );
}

#[tokio::test]
async fn a_refused_account_is_not_ready_until_a_send_works_or_a_minute_passes() {
    // The last code is none that is known.
    for code in [20_003, 30_002, 20_999] {
        let refused = || Reply::json(401, &twilio_error(code));
        let bad_number = || Reply::json(400, &twilio_error(21_211));
        let replies = [bad_number(), refused(), bad_number(), Reply::created(SID), refused()];
        let (double, clock) = (Double::playing(replies).await, clock());
        let gateway = messages(&double.base_url()).build(clock.clone()).expect("a gateway");
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
    let gateway = built(&messages(&double.base_url()));
    assert!(gateway.send(&message("012345")).await.is_err());
    assert_eq!(gateway.readiness(), Ok(()));
}

#[tokio::test]
async fn a_reused_connection_that_ends_after_the_request_is_not_tried_again() {
    for ending in [Reply::Reset, Reply::BytesThenClose(String::new())] {
        let mut double =
            Double::playing([Reply::created(SID), ending, Reply::created("a second time")]).await;
        let gateway = built(&messages(&double.base_url()));
        gateway.send(&message("first")).await.expect("accepted");
        let error = gateway.send(&message("second")).await.expect_err("unknown");
        assert_eq!(error.class, ErrorClass::Ambiguous);
        let bodies: Vec<_> = double.further_requests().iter().map(|r| r.form()[3].1.clone()).collect();
        assert_eq!(bodies, ["first", "second"]);
    }
}

#[tokio::test]
async fn a_closing_idle_connection_never_makes_the_gateway_send_twice() {
    const ROUNDS: usize = 100;
    let closing = Reply::BytesThenClose(answer(201, &[], &created_body(SID)));
    let mut double = Double::playing(std::iter::repeat_n(closing, 2 * ROUNDS)).await;
    let gateway = built(&messages(&double.base_url()));
    let mut accepted = 0;
    for round in 0..ROUNDS {
        match gateway.send(&message(&round.to_string())).await {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error.class, ErrorClass::Ambiguous),
        }
        // Lets the close arrive before, during or after the next send.
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
    }
    let mut bodies: Vec<_> = double.further_requests().iter().map(|r| r.form()[3].1.clone()).collect();
    let received = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), received, "a message came twice");
    assert!(accepted > 0 && received >= accepted);
}

#[tokio::test]
async fn a_base_url_may_have_a_path_and_credentials_must_fit_into_a_header() {
    for (end, expected) in [("/", ""), ("/sms/", "/sms")] {
        let request = asked(|url| messages(&format!("{url}{end}")), &message("012345")).await;
        let line = format!("POST {expected}/2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1");
        assert_eq!(request.request_line, line);
    }
    let named = |account| {
        let error = ProviderSettings::TwilioMessages(TwilioSettings { account, ..texts("") }).build(clock());
        error.err().map(|error| error.setting)
    };
    for url in ["", "api.twilio.com", "ftp://a", "http://u:p@a", "http://a?b", "http://a#b", "http://"] {
        assert_eq!(named(account(url)).as_deref(), Some("TWILIO_BASE_URL"), "{url}");
    }
    for sid in ["", "a:b"] {
        let account = TwilioAccount { account_sid: sid.to_owned(), ..account("http://127.0.0.1") };
        assert_eq!(named(account).as_deref(), Some("TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"), "{sid}");
    }
}

#[tokio::test]
async fn the_account_and_the_sender_are_examined_without_a_message() {
    let active = (200, r#"{"status":"active","type":"Full"}"#);
    let own = r#"{"incoming_phone_numbers":[{"capabilities":{"sms":true,"voice":false}}]}"#;
    let caller = r#"{"incoming_phone_numbers":[{"capabilities":{"sms":false,"voice":true}}]}"#;
    let none = r#"{"incoming_phone_numbers":[]}"#;
    let by_service = |url: &str| {
        let sender = TwilioSender::MessagingService("MG1".to_owned());
        ProviderSettings::TwilioMessages(TwilioSettings { sender, ..texts(url) })
    };
    let itself = format!("/2010-04-01/Accounts/{ACCOUNT}.json");
    let numbers = |number| {
        format!("/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PhoneNumber=%2B1500555000{number}")
    };
    let service = "/v1/Services/MG1".to_owned();
    let cases: [(Make, _, _, _, _); 13] = [
        (messages, numbers(6), active, (200, own), ["account is active", "number of the account"]),
        (
            messages,
            numbers(6),
            (200, r#"{"status":"active","type":"Trial"}"#),
            (200, own),
            ["trial account", ""],
        ),
        (messages, numbers(6), (200, r#"{"status":"suspended"}"#), (200, own), ["account is suspended", ""]),
        (messages, numbers(6), active, (200, none), ["", "check TWILIO_PHONE_NUMBER"]),
        (messages, numbers(6), active, (200, caller), ["", "cannot send text messages"]),
        (messages, numbers(6), (401, r#"{"code":20003}"#), (200, own), ["TWILIO_AUTH_TOKEN", ""]),
        (messages, numbers(6), (200, "<html>"), (200, "{}"), ["a readable account", "a readable list"]),
        (messages, numbers(6), (502, "oops"), (302, ""), ["HTTP 502", "a redirect"]),
        (calls, numbers(7), active, (200, caller), ["", "a number of the account"]),
        (calls, numbers(7), active, (200, own), ["", "the sender cannot call; check TWILIO_VOICE_NUMBER"]),
        (calls, numbers(7), active, (200, none), ["", "must be a verified caller id"]),
        (by_service, service.clone(), active, (200, r#"{"sid":"MG1"}"#), ["", "the service exists"]),
        (
            by_service,
            service,
            active,
            (404, r#"{"code":20404}"#),
            ["", "no such service in the account; check"],
        ),
    ];
    for (gateway, sender_path, account, sender, words) in cases {
        let replies = [Reply::json(account.0, account.1), Reply::json(sender.0, sender.1)];
        examines(gateway, replies.to_vec(), &[&itself, &sender_path], &words).await;
    }
    let by_name = |url: &str| {
        let sender = TwilioSender::Number("OWLBANK".to_owned());
        ProviderSettings::TwilioMessages(TwilioSettings { sender, ..texts(url) })
    };
    examines(by_name, vec![Reply::json(active.0, active.1)], &[&itself], &["is active"]).await;
    for (reply, words) in [
        (Reply::json(200, r#"{"sid":"VA1"}"#), "the service exists"),
        (
            Reply::json(404, r#"{"code":20404}"#),
            "no such service in the account; check sms.twilio.verify_sid",
        ),
        (Reply::Reset, "did not answer"),
    ] {
        examines(verifications, vec![reply], &[&format!("/v2/Services/{SERVICE}")], &[words]).await;
    }
}

type Make = fn(&str) -> ProviderSettings;

async fn examines(gateway: Make, replies: Vec<Reply>, paths: &[&str], words: &[&str]) {
    let mut double = Double::playing(replies).await;
    let found = built(&gateway(&double.base_url())).examine_account().await;
    let asked: Vec<_> = double.further_requests().into_iter().map(|request| request.request_line).collect();
    let expected: Vec<_> = paths.iter().map(|path| format!("GET {path} HTTP/1.1")).collect();
    assert_eq!(asked, expected);
    assert_eq!(found.len(), words.len());
    for (found, words) in found.iter().zip(words) {
        let text = found.state.clone().unwrap_or_else(|error| error.to_string());
        assert!(text.contains(words), "no {words:?} in {text:?}");
    }
}

async fn failure_of(url: &str) -> GatewayError {
    built(&messages(url)).send(&message("012345")).await.expect_err("not accepted")
}
