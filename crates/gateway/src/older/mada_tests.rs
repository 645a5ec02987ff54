//! Mada, beside what `recipes/tests/mada.json` says.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use url::Url;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::double::{Double, Reply, answer, message, refusing_url};
use crate::{ErrorClass, Gateway as _, GatewayError, HttpGateway};

#[tokio::test]
async fn a_message_is_submitted_as_soap() {
    let mut double = Double::playing([Reply::xml(200, &submitted("0"))]).await;
    let accepted = mada(&double).send(&message("Your code is 012345")).await.expect("accepted");
    assert_eq!(accepted.message_id, "02940001");

    let request = double.request().await;
    assert_eq!(request.request_line, "POST /sos HTTP/1.1");
    // base64("user:s3cr3t")
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzM2NyM3Q="));
    assert_eq!(request.header("content-type"), Some("text/xml"));
    assert_eq!(
        request.body,
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" "#,
            r#"xmlns:sos="http://www.openmindnetworks.com/SoS"><soapenv:Body>"#,
            r#"<sos:SubmitSM soapenv:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><smRequest>"#,
            "<source><ton>5</ton><npi>1</npi><addr>Ann &amp; Bob</addr></source>",
            "<destination><ton>1</ton><npi>1</npi><addr>14155552671</addr></destination>",
            "<shortMessage><stringData>Your code is 012345</stringData></shortMessage>",
            "<registeredDelivery>1</registeredDelivery>",
            "</smRequest></sos:SubmitSM></soapenv:Body></soapenv:Envelope>"
        )
    );
}

#[tokio::test]
async fn a_text_cannot_leave_its_element() {
    let mut double = Double::playing([Reply::xml(200, &submitted("0"))]).await;
    let text = "</stringData><x a=\"1\">&amp;]]> Ünï\u{1f600}\u{0}\u{7}\n";
    mada(&double).send(&message(text)).await.expect("accepted");
    let body = double.request().await.body;
    let inside = body.split_once("<stringData>").and_then(|(_, rest)| rest.split_once("</stringData>"));
    let escaped = "&lt;/stringData&gt;&lt;x a=&quot;1&quot;&gt;&amp;amp;]]&gt; Ünï\u{1f600}  \n";
    assert_eq!(inside.map(|(inside, _)| inside), Some(escaped));
}

#[tokio::test]
async fn the_wait_that_mada_asks_for_is_passed_on() {
    let throttled = answer(200, &[("Retry-After", "3")], &submitted("88"));
    let after = Some(Duration::from_secs(3));
    assert_eq!(error_after(Reply::Bytes(throttled)).await.class, ErrorClass::Retry { after });
}

#[tokio::test]
async fn a_fault_may_explain_itself_at_length() {
    let long = fault("soapenv:Client")
        .replace("</faultcode>", &format!("</faultcode><detail>{}</detail>", "x".repeat(4_000)));
    let error = error_after(Reply::xml(500, &long)).await;
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Refused, false));
}

#[tokio::test]
async fn without_a_fault_a_failed_status_of_http_decides() {
    for (status, class, whole_gateway) in [
        (400, ErrorClass::Refused, false),
        (401, ErrorClass::Configuration, true),
        (402, ErrorClass::Configuration, true),
        (403, ErrorClass::Configuration, false),
        (404, ErrorClass::Refused, false),
        (429, ErrorClass::Retry { after: None }, true),
        (500, ErrorClass::Ambiguous, true),
        (503, ErrorClass::Ambiguous, true),
        (301, ErrorClass::Configuration, true),
    ] {
        // Mada's status in the body turns no HTTP failure into a success or a certain result.
        for body in ["", "<html>", &submitted("0"), &submitted("11")] {
            let error = error_after(Reply::xml(status, body)).await;
            assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{status} {body}");
        }
    }
    for status in [401, 403] {
        let error = error_after(Reply::xml(status, &fault("Server"))).await;
        assert_eq!(error.class, ErrorClass::Configuration);
    }
}

#[tokio::test]
async fn a_success_of_http_without_a_command_status_is_ambiguous() {
    for (body, whole_gateway) in [
        ("", true),
        ("OK", true),
        (r#"{"commandStatus":"0"}"#, true),
        ("<Envelope><Body/></Envelope>", false),
        (submitted("").as_str(), false),
        (submitted("zero").as_str(), false),
        (submitted("-1").as_str(), false),
        (submitted("0x0").as_str(), false),
        (submitted("4294967296").as_str(), false),
        (submitted("&lol;").as_str(), true),
    ] {
        let error = error_after(Reply::xml(200, body)).await;
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Ambiguous, whole_gateway), "{body}");
    }
}

#[tokio::test]
async fn broken_huge_and_foreign_answers_are_ambiguous() {
    let cut = answer(200, &[], &submitted("0"));
    let huge = submitted("0").replace("<Header/>", &"<Header/>".repeat(10_000));
    for reply in [
        Reply::BytesThenClose(cut[..cut.len() - 1].to_owned()),
        Reply::xml(200, &huge),
        Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned()),
        Reply::Reset,
        Reply::BytesThenClose("SSH-2.0\r\n".to_owned()),
    ] {
        let error = error_after(reply.clone()).await;
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Ambiguous, true), "{}", error.detail);
    }
}

#[tokio::test]
async fn a_message_without_a_usable_id_gets_one_of_ours() {
    let bare = submitted("0").replace("<messageId>02940001</messageId>", "");
    let odd = submitted("0").replace("02940001", "&lt;script&gt;");
    let double = Double::playing([Reply::xml(200, &bare), Reply::xml(200, &odd)]).await;
    let gateway = mada(&double);
    let first = gateway.send(&message("1")).await.expect("accepted").message_id;
    let second = gateway.send(&message("2")).await.expect("accepted").message_id;
    assert!(first.starts_with("Mada-") && second.starts_with("Mada-") && first != second, "{first} {second}");
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let gateway = HttpGateway::new(&settings(&refusing_url().await), clock()).expect("a gateway");
    let error = gateway.send(&message("1")).await.expect_err("refused");
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Retry { after: None }, true));
}

#[tokio::test]
async fn a_refused_account_speaks_against_readiness() {
    let double = Double::playing([Reply::xml(200, &submitted("14")), Reply::xml(200, &submitted("0"))]).await;
    let gateway = mada(&double);
    let _ = gateway.send(&message("1")).await;
    let reason = gateway.readiness().expect_err("not ready");
    assert!(reason.contains("MADA_PASSWORD") && reason.contains("14"), "{reason}");
    let _ = gateway.send(&message("2")).await;
    assert!(gateway.readiness().is_ok());
}

#[tokio::test]
async fn nothing_secret_or_personal_is_in_an_error_or_in_debug() {
    let double = Double::playing([Reply::xml(401, &submitted("14"))]).await;
    let gateway = mada(&double);
    let error = gateway.send(&message("Your code is 012345")).await.expect_err("refused");
    for text in [format!("{error} {error:?}"), format!("{gateway:?}")] {
        for secret in ["s3cr3t", "dXNlcjpzM2Ny", "4155552671", "012345"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn an_address_without_a_scheme_is_plain_http() {
    for (url, expected) in [
        ("mada.example.com:8080/sos", "http://mada.example.com:8080/sos"),
        ("127.0.0.1:80", "http://127.0.0.1/"),
        ("http://127.0.0.1/a", "http://127.0.0.1/a"),
        ("https://mada.example.com/a", "https://mada.example.com/a"),
    ] {
        let values = settings(url).values;
        assert_eq!(Url::parse(values["url"].expose_secret()).expect("a URL").as_str(), expected);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    for (setting, value, named) in [
        ("username", "", "MADA_USERNAME"),
        ("username", "a:b", "MADA_USERNAME"),
        ("password", "", "MADA_PASSWORD"),
        ("url", "", "MADA_URL"),
        ("url", "ftp://a", "MADA_URL"),
        ("url", "u:hunter2@mada.example.com", "MADA_URL"),
    ] {
        let mut values = values("mada.example.com");
        values.insert(setting.to_owned(), value.to_owned());
        let settings = filled_in(GatewayName::Mada, values);
        let error = HttpGateway::new(&settings, clock()).expect_err(named).to_string();
        assert!(error.contains(named) && !error.contains("hunter2"), "{error}");
    }
}

async fn error_after(reply: Reply) -> GatewayError {
    let mut double = Double::playing([reply]).await;
    let error = mada(&double).send(&message("Your code is 012345")).await.expect_err("not accepted");
    assert_eq!(double.further_requests().len(), 1, "asked once");
    error
}

fn mada(double: &Double) -> HttpGateway {
    let address = double.base_url();
    let without_scheme = address.strip_prefix("http://").expect("http");
    HttpGateway::new(&settings(&format!("{without_scheme}/sos")), clock()).expect("a gateway")
}

fn settings(url: &str) -> HttpGatewaySettings {
    filled_in(GatewayName::Mada, values(url))
}

fn values(url: &str) -> BTreeMap<String, String> {
    let values = [("username", "user"), ("password", "s3cr3t"), ("url", url), ("source_name", "Ann & Bob")];
    values.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

fn submitted(status: &str) -> String {
    format!(
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><Header/><soap:Body>\
         <ns:SubmitSMResponse xmlns:ns=\"http://www.openmindnetworks.com/SoS\"><smResponse>\
         <commandStatus>{status}</commandStatus><messageId>02940001</messageId>\
         </smResponse></ns:SubmitSMResponse></soap:Body></soap:Envelope>"
    )
}

fn fault(code: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
         <soapenv:Fault><faultcode>{code}</faultcode><faultstring>no +14155552671</faultstring></soapenv:Fault>\
         </soapenv:Body></soapenv:Envelope>"
    )
}
