//! The common behaviour of an account's gateways: connections, answers, account health, settings.

use super::*;
use crate::domain::GatewayName;
use crate::double::{answer, created_body, refusing_url};
use crate::twilio::BASE_URL;
use crate::twilio::codes::{CREDENTIALS, SUSPENDED};
use crate::{AccountPart, GatewayError};

#[tokio::test]
async fn a_connection_that_breaks_leaves_open_whether_it_was_sent() {
    for reply in [
        Reply::Reset,
        Reply::BytesThenClose(String::new()),
        Reply::BytesThenClose("HTTP/1.1 201 Crea".to_owned()),
        Reply::BytesThenClose("garbage\r\n\r\n".to_owned()),
    ] {
        assert_eq!(class_after(reply.clone()).await, ErrorClass::Ambiguous, "{reply:?}");
    }
}

#[tokio::test]
async fn an_error_answer_has_the_class_of_its_code_or_status() {
    for (status, body, class) in [
        (400, twilio_error(21_211), ErrorClass::BadNumber),
        (400, twilio_error(21_614), ErrorClass::NotReachableHere),
        (400, twilio_error(21_610), ErrorClass::OptedOut),
        (400, twilio_error(21_608), ErrorClass::Configuration),
        (400, twilio_error(30_450), ErrorClass::Fraud),
        (400, twilio_error(30_007), ErrorClass::Refused),
        (400, twilio_error(98_765), ErrorClass::Refused),
        (429, twilio_error(20_429), ErrorClass::Retry { after: None }),
        (500, twilio_error(20_500), ErrorClass::Ambiguous),
        (503, "<html>no JSON</html>".to_owned(), ErrorClass::Ambiguous),
        (400, String::new(), ErrorClass::Refused),
        (401, String::new(), ErrorClass::Configuration),
        (403, "{}".to_owned(), ErrorClass::Configuration),
        (404, r#"{"code":"a text"}"#.to_owned(), ErrorClass::Refused),
        (429, String::new(), ErrorClass::Retry { after: None }),
        (307, String::new(), ErrorClass::Configuration),
        (302, String::new(), ErrorClass::Ambiguous),
    ] {
        assert_eq!(class_after(Reply::json(status, &body)).await, class, "{status} {body}");
    }
}

#[tokio::test]
async fn a_retry_waits_as_long_as_twilio_asks() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let seconds = |s| ErrorClass::Retry { after: Some(Duration::from_secs(s)) };
    for (headers, body, class) in [
        (vec![("Retry-After", "3")], 20_429, seconds(3)),
        (vec![("Retry-After", " 0 ")], 20_429, seconds(0)),
        (vec![("Retry-After", "Sun, 06 Nov 1994 08:49:44 GMT"), ("Date", date)], 20_429, seconds(7)),
        (vec![("Retry-After", "Sun, 06 Nov 1994 08:49:00 GMT"), ("Date", date)], 20_429, seconds(0)),
        (vec![("Retry-After", "Sun, 06 Nov 1994 08:49:44 GMT")], 20_429, ErrorClass::Retry { after: None }),
        (vec![("Retry-After", "soon")], 20_429, ErrorClass::Retry { after: None }),
        (vec![("Retry-After", "-1")], 20_429, ErrorClass::Retry { after: None }),
        (vec![], 63_038, ErrorClass::Retry { after: Some(Duration::from_secs(24 * 60 * 60)) }),
        (vec![("Retry-After", "60")], 63_038, seconds(60)),
        (vec![("Retry-After", "3")], 21_211, ErrorClass::BadNumber),
    ] {
        let reply = Reply::json_with(429, &headers, &twilio_error(body));
        assert_eq!(class_after(reply).await, class, "{headers:?}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent_and_a_retry_is_safe() {
    let error = twilio(&refusing_url().await).send(&message("012345")).await.expect_err("refused");
    assert_eq!(error.class, ErrorClass::Retry { after: None });
    assert!(!error.class.may_have_been_sent());
    assert_eq!(error.detail, "was not reached: no connection: connection refused");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_as_long_as_the_caller_likes() {
    for silence in ["", "HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{\"sid\":"] {
        let mut double = Double::playing([Reply::Silence(silence.to_owned())]).await;
        let gateway = twilio(&double.base_url());
        let message = message("012345");
        let mut sending = gateway.send(&message);
        tokio::select! {
            result = &mut sending => panic!("{result:?}"),
            _ = double.request() => {}
        }
        tokio::time::pause();
        assert!(tokio::time::timeout(Duration::from_secs(3_600), sending).await.is_err(), "{silence}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn readiness_fails_from_a_refused_account_until_a_send_succeeds() {
    // The last code is none that is known.
    for code in [CREDENTIALS, SUSPENDED, 20_999] {
        let double = Double::playing([
            Reply::json(400, &twilio_error(21_211)),
            Reply::json(401, &twilio_error(code)),
            Reply::json(400, &twilio_error(21_211)),
            Reply::created(SID),
        ])
        .await;
        let gateway = twilio(&double.base_url());
        let mut ready = vec![gateway.readiness().is_ok()];
        for _ in 0..4 {
            let _ = gateway.send(&message("012345")).await;
            ready.push(gateway.readiness().is_ok());
        }
        // A bad number says nothing about the account.
        assert_eq!(ready, [true, true, false, false, true], "{code}");
    }
}

#[tokio::test]
async fn a_missing_sender_fails_the_whole_gateway_but_leaves_it_ready() {
    let double = Double::playing([Reply::json(400, &twilio_error(21_603))]).await;
    let gateway = twilio(&double.base_url());
    let error = failure_of(&gateway).await;
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Configuration, true));
    assert_eq!(gateway.readiness(), Ok(()));
}

#[tokio::test]
async fn a_refused_account_is_given_another_chance_after_a_minute() {
    let double = Double::playing([Reply::json(401, &twilio_error(CREDENTIALS))]).await;
    let clock = clock();
    let gateway = TwilioMessages::new(&settings(&double.base_url()), clock.clone()).expect("a gateway");
    let _ = gateway.send(&message("012345")).await;
    clock.advance(Duration::from_millis(59_999));
    assert!(gateway.readiness().is_err());
    clock.advance(Duration::from_millis(1));
    assert!(gateway.readiness().is_ok());
}

#[tokio::test]
async fn readiness_names_what_to_correct() {
    let double = Double::playing([Reply::json(401, &twilio_error(CREDENTIALS))]).await;
    let gateway = twilio(&double.base_url());
    let _ = gateway.send(&message("012345")).await;
    let reason = gateway.readiness().expect_err("not ready");
    assert!(reason.contains("TWILIO_AUTH_TOKEN") && reason.contains("20003"), "{reason}");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let mut double = Double::playing((0..5).map(|_| Reply::created(SID))).await;
    let gateway = twilio(&double.base_url());
    for _ in 0..5 {
        gateway.send(&message("012345")).await.expect("accepted");
        assert_eq!(double.request().await.connection, 1);
    }
}

#[tokio::test]
async fn a_reused_connection_that_ends_after_the_request_is_not_tried_again() {
    for ending in [Reply::Reset, Reply::BytesThenClose(String::new())] {
        let mut double =
            Double::playing([Reply::created(SID), ending, Reply::created("a second time")]).await;
        let gateway = twilio(&double.base_url());
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
    let gateway = twilio(&double.base_url());
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

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    for url in ["", "api.twilio.com", "ftp://a", "http://u:p@a", "http://a?b", "http://a#b", "http://"] {
        assert_eq!(
            TwilioMessages::new(&settings(url), clock()).err().map(|error| error.setting).as_deref(),
            Some(BASE_URL),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_base_url_may_have_a_path_and_a_trailing_slash() {
    for (end, expected) in [("", ""), ("/", ""), ("/sms/", "/sms")] {
        let mut double = Double::playing([Reply::created(SID)]).await;
        twilio(&format!("{}{end}", double.base_url())).send(&message("012345")).await.expect("accepted");
        let line = format!("POST {expected}/2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1");
        assert_eq!(double.request().await.request_line, line);
    }
}

#[tokio::test]
async fn only_what_would_meet_every_message_speaks_against_the_gateway() {
    for (reply, expected) in [
        (Reply::json(400, &twilio_error(21_211)), false),
        (Reply::json(400, &twilio_error(21_408)), false),
        (Reply::json(429, &twilio_error(20_429)), true),
        (Reply::json(429, ""), true),
        (Reply::json(503, ""), true),
        (Reply::json(401, &twilio_error(CREDENTIALS)), true),
        (Reply::json(201, "not JSON"), true),
        (Reply::Reset, true),
    ] {
        let double = Double::playing([reply.clone()]).await;
        let error = failure_of(&twilio(&double.base_url())).await;
        assert_eq!(error.whole_gateway, expected, "{reply:?}");
        assert_eq!(error.gateway, GatewayName::TwilioMessages);
    }
    assert!(failure_of(&twilio(&refusing_url().await)).await.whole_gateway);
}

async fn failure_of(gateway: &TwilioMessages) -> GatewayError {
    gateway.send(&message("012345")).await.expect_err("not accepted")
}

#[tokio::test]
async fn the_account_and_the_sender_are_examined_without_a_message() {
    let active = r#"{"status":"active","type":"Full"}"#;
    let own = r#"{"incoming_phone_numbers":[{"capabilities":{"sms":true,"voice":false}}]}"#;
    let refused = r#"{"code":20003,"message":"Authenticate"}"#;
    for (account, sender, words) in [
        ((200, active), (200, own), ["account is active", "number of the account"]),
        (
            (200, r#"{"status":"active","type":"Trial"}"#),
            (200, own),
            ["trial account", "number of the account"],
        ),
        ((200, r#"{"status":"suspended"}"#), (200, own), ["account is suspended", "number of the account"]),
        (
            (200, active),
            (200, r#"{"incoming_phone_numbers":[]}"#),
            ["is active", "check TWILIO_PHONE_NUMBER"],
        ),
        (
            (200, active),
            (200, r#"{"incoming_phone_numbers":[{"capabilities":{"sms":false,"voice":true}}]}"#),
            ["is active", "cannot send text messages"],
        ),
        ((401, refused), (401, refused), ["TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"]),
        ((200, "<html>"), (200, "{}"), ["without a readable account", "without a readable list"]),
        ((502, "oops"), (302, ""), ["HTTP 502", "a redirect"]),
    ] {
        let replies = [Reply::json(account.0, account.1), Reply::json(sender.0, sender.1)];
        let mut double = Double::playing(replies).await;
        let found = twilio(&double.base_url()).examine_account().await;
        assert_eq!(found.iter().map(|found| found.part).collect::<Vec<_>>(), PARTS);
        let lines = double.further_requests().into_iter().map(|request| request.request_line);
        let expected = [
            format!("GET /2010-04-01/Accounts/{ACCOUNT}.json HTTP/1.1"),
            format!(
                "GET /2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PhoneNumber=%2B15005550006 HTTP/1.1"
            ),
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        for (found, words) in found.iter().zip(words) {
            let text = found.state.clone().unwrap_or_else(|error| error.to_string());
            assert!(text.contains(words), "no {words:?} in {text:?}");
        }
    }
    let unreachable = twilio(&refusing_url().await).examine_account().await;
    assert!(unreachable.iter().all(|found| found.state.as_ref().is_err_and(|error| error.whole_gateway)));
    assert_eq!(unreachable.len(), 2);
}

#[tokio::test]
async fn a_messaging_service_is_looked_up_and_a_name_is_not() {
    let active = || Reply::json(200, r#"{"status":"active"}"#);
    for (reply, words) in [
        (Reply::json(200, r#"{"sid":"MG1"}"#), "the service exists"),
        (
            Reply::json(404, r#"{"code":20404}"#),
            "no such service in the account; check TWILIO_PHONE_NUMBER or",
        ),
    ] {
        let mut double = Double::playing([active(), reply]).await;
        let sender = TwilioSender::MessagingService("MG1".to_owned());
        let settings = TwilioSettings { sender, ..settings(&double.base_url()) };
        let found = TwilioMessages::new(&settings, clock()).expect("a gateway").examine_account().await;
        let text = found[1].state.clone().unwrap_or_else(|error| error.to_string());
        assert!(text.contains(words), "{text}");
        assert_eq!(double.further_requests()[1].request_line, "GET /v1/Services/MG1 HTTP/1.1");
    }
    let double = Double::playing([active()]).await;
    let sender = TwilioSender::Number("OWLBANK".to_owned());
    let settings = TwilioSettings { sender, ..settings(&double.base_url()) };
    let found = TwilioMessages::new(&settings, clock()).expect("a gateway").examine_account().await;
    assert_eq!(found.iter().map(|found| found.part).collect::<Vec<_>>(), PARTS[..1]);
}

const PARTS: [AccountPart; 2] = [AccountPart::Credentials, AccountPart::Sender];
