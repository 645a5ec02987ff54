use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Code, CodeLength, GatewayCredential, PhoneNumber, Timestamp};
use crate::gateway::TwilioSender;
use crate::gateway::double::{Double, Reply, answer, created_body, refusing_url};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SID: &str = "SM00112233445566778899aabbccddeeff";

#[tokio::test]
async fn the_request_is_the_one_that_twilio_documents() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let accepted = twilio(&double.base_url()).send(&message("Your code is 012345 & nothing + else")).await;
    assert_eq!(accepted, Ok(Accepted { message_id: SID.to_owned() }));

    let request = double.request().await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"));
    // The base64 of the account SID, a colon and the token, by another tool.
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpzM2NyM3Q=";
    assert_eq!(request.header("authorization"), Some(basic));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("onceward/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        fields(&request.form()),
        [
            ("From", "+15005550006"),
            ("To", "+14155552671"),
            ("ValidityPeriod", "25"),
            ("Body", "Your code is 012345 & nothing + else"),
        ]
    );
}

#[tokio::test]
async fn a_messaging_service_takes_the_place_of_the_sender() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let sender = TwilioSender::MessagingService("MG0123".to_owned());
    let gateway = TwilioMessages::new(TwilioSettings { sender, ..settings(&double.base_url()) }, clock());
    gateway.expect("a gateway").send(&message("Code 012345: ümläut, 数字")).await.expect("accepted");

    let form = double.request().await.form();
    assert_eq!(fields(&form)[0], ("MessagingServiceSid", "MG0123"));
    assert!(form.iter().all(|(name, _)| name != "From"));
    assert_eq!(fields(&form)[3], ("Body", "Code 012345: ümläut, 数字"));
}

#[tokio::test]
async fn twilio_may_deliver_only_while_the_code_is_good() {
    for (left, expected) in [
        (Duration::ZERO, "6"),
        (Duration::from_millis(5_999), "6"),
        (Duration::from_secs(6), "6"),
        (Duration::from_millis(29_999), "29"),
        (Duration::from_secs(600), "600"),
        (Duration::from_secs(36_001), "36000"),
        (Duration::MAX, "36000"),
    ] {
        let mut double = Double::playing([Reply::created(SID)]).await;
        let message = OutgoingMessage { valid_for: left, ..message("012345") };
        twilio(&double.base_url()).send(&message).await.expect("accepted");
        assert!(fields(&double.request().await.form()).contains(&("ValidityPeriod", expected)), "{left:?}");
    }
}

#[tokio::test]
async fn a_success_without_a_readable_id_leaves_open_whether_it_was_sent() {
    let cut_off = answer(201, &[], &created_body(SID));
    for reply in [
        Reply::json(201, ""),
        Reply::json(201, "{}"),
        Reply::json(201, "not JSON"),
        Reply::json(201, r#"{"sid":null}"#),
        Reply::json(201, r#"{"sid":7}"#),
        Reply::json(201, r#"{"sid":""}"#),
        Reply::json(201, r#"{"sid":"SM with spaces"}"#),
        Reply::json(201, &created_body(&"9".repeat(65))),
        Reply::json(204, ""),
        Reply::BytesThenClose(cut_off[..cut_off.len() - 1].to_owned()),
        Reply::Endless("HTTP/1.1 201 Created\r\n\r\n{".to_owned()),
    ] {
        assert_eq!(class_after(reply.clone()).await, ErrorClass::Ambiguous, "{reply:?}");
    }
}

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
async fn an_error_says_what_happened_and_never_to_whom() {
    let body =
        r#"{"code":21211,"message":"The 'To' number +14155552671 with 012345 is not valid","status":400}"#;
    let mut double = Double::playing([Reply::json(400, body)]).await;
    let error = twilio(&double.base_url()).send(&message("Code 012345")).await.expect_err("refused");
    double.request().await;
    assert_eq!(error.code, Some(21_211));
    assert_eq!(
        error.to_string(),
        "TwilioMessages answered HTTP 400: the recipient is not a phone number \
         (class BadNumber, code 21211)"
    );
    for shown in [format!("{error:?}"), format!("{:?}", twilio(&double.base_url()))] {
        assert!(
            !shown.contains("4155552671") && !shown.contains("012345 ") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn readiness_fails_from_a_refused_account_until_a_send_succeeds() {
    for code in [CREDENTIALS, SUSPENDED] {
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
async fn a_refused_account_is_given_another_chance_after_a_minute() {
    let double = Double::playing([Reply::json(401, &twilio_error(CREDENTIALS))]).await;
    let clock = clock();
    let gateway = TwilioMessages::new(settings(&double.base_url()), clock.clone()).expect("a gateway");
    let _ = gateway.send(&message("012345")).await;
    clock.advance(Duration::from_millis(59_999));
    assert!(gateway.readiness().is_err());
    clock.advance(Duration::from_millis(1));
    assert!(gateway.readiness().is_ok());
}

#[tokio::test]
async fn readiness_names_what_to_mend() {
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
async fn whatever_the_moment_in_which_an_idle_connection_closes_nothing_is_sent_twice() {
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

#[tokio::test]
async fn other_channels_are_not_sent_as_text() {
    let mut double = Double::playing([]).await;
    for channel in [Channel::Call, Channel::WhatsApp] {
        let message = OutgoingMessage { channel, ..message("012345") };
        let error = twilio(&double.base_url()).send(&message).await.expect_err("refused");
        assert_eq!(error.class, ErrorClass::Configuration);
    }
    assert!(double.further_requests().is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let good = || account("https://example.com");
    let token = |t: &str| GatewayCredential::new(t.to_owned());
    for (account, expected) in [
        (TwilioAccount { account_sid: String::new(), ..good() }, TwilioSettingsError::AccountSid),
        (TwilioAccount { account_sid: "AC/../x".to_owned(), ..good() }, TwilioSettingsError::AccountSid),
        (TwilioAccount { auth_token: token(""), ..good() }, TwilioSettingsError::AuthToken),
        (TwilioAccount { auth_token: token("a\r\nX: b"), ..good() }, TwilioSettingsError::AuthToken),
    ] {
        let settings = TwilioSettings { account, ..settings("https://example.com") };
        assert_eq!(TwilioMessages::new(settings, clock()).err(), Some(expected));
    }
    let sender = TwilioSender::Number(" ".to_owned());
    let no_sender = TwilioSettings { sender, ..settings("http://127.0.0.1:1") };
    assert_eq!(TwilioMessages::new(no_sender, clock()).err(), Some(TwilioSettingsError::Sender));
    for url in ["", "api.twilio.com", "ftp://a", "http://u:p@a", "http://a?b", "http://a#b", "http://"] {
        assert_eq!(
            TwilioMessages::new(settings(url), clock()).err(),
            Some(TwilioSettingsError::BaseUrl),
            "{url}"
        );
    }
}

#[test]
fn a_base_url_may_have_a_path_and_a_trailing_slash() {
    for (base, expected) in [
        ("http://127.0.0.1:1", "http://127.0.0.1:1/2010-04-01/Accounts/"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/2010-04-01/Accounts/"),
        ("http://127.0.0.1:1/sms/", "http://127.0.0.1:1/sms/2010-04-01/Accounts/"),
    ] {
        let url = twilio(base).url.to_string();
        assert_eq!(url, format!("{expected}{ACCOUNT}/Messages.json"));
    }
}

async fn class_after(reply: Reply) -> ErrorClass {
    let mut double = Double::playing([reply]).await;
    let error = twilio(&double.base_url()).send(&message("012345")).await.expect_err("not accepted");
    assert_eq!(double.further_requests().len(), 1, "asked once");
    error.class
}

fn settings(base_url: &str) -> TwilioSettings {
    TwilioSettings {
        account: account(base_url),
        sender: TwilioSender::Number("+15005550006".to_owned()),
        whatsapp: None,
        feedback: false,
    }
}

fn account(base_url: &str) -> TwilioAccount {
    TwilioAccount {
        account_sid: ACCOUNT.to_owned(),
        auth_token: GatewayCredential::new("s3cr3t".to_owned()),
        base_url: base_url.to_owned(),
    }
}

fn twilio(base_url: &str) -> TwilioMessages {
    TwilioMessages::new(settings(base_url), clock()).expect("a gateway")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

fn message(text: &str) -> OutgoingMessage {
    OutgoingMessage {
        to: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
        channel: Channel::Sms,
        text: text.to_owned(),
        code: Code::from_value(12_345, CodeLength::SIX),
        valid_for: Duration::from_millis(25_900),
        locale: None,
        callback: None,
    }
}

fn twilio_error(code: u32) -> String {
    format!(r#"{{"code":{code},"message":"Not to +14155552671","more_info":"https://...","status":400}}"#)
}

fn fields(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
