//! The test doubles refuse what a provider would refuse, and keep what a provider keeps.

use serde_json::{Value, json};

use crate::support::{
    ACCOUNT_SID, AUTH_TOKEN, Client, Double, HTTP_TOKEN, HttpResponse, MADA_PASSWORD, MADA_USERNAME, Mada,
    Provider, Reply, SENDER, SINCH_APP_ID, SINCH_APP_SECRET, Says, Sinch, SmsGateway, Twilio, VERIFY_SID,
    basic, wrong,
};

const NUMBER: &str = "+14155550100";
const FORM: &str = "application/x-www-form-urlencoded";

fn client<P: Provider>(double: &Double<P>) -> Client {
    Client::new(double.base_url().trim_start_matches("http://").parse().expect("an address"))
}

async fn to_twilio(twilio: &Twilio, path: &str, form: &[(&str, &str)]) -> HttpResponse {
    let authorization = basic(ACCOUNT_SID, AUTH_TOKEN);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let headers = [("authorization", authorization.as_str()), ("content-type", FORM)];
    client(twilio).post_with(path, &headers, body).await
}

async fn check_at_verify(twilio: &Twilio, code: &str) -> HttpResponse {
    let path = format!("/v2/Services/{VERIFY_SID}/VerificationCheck");
    to_twilio(twilio, &path, &[("To", NUMBER), ("Code", code)]).await
}

async fn start_at_verify(twilio: &Twilio) -> HttpResponse {
    let path = format!("/v2/Services/{VERIFY_SID}/Verifications");
    to_twilio(twilio, &path, &[("To", NUMBER), ("Channel", "sms")]).await
}

#[tokio::test]
async fn verify_approves_a_code_once_and_knows_nothing_of_it_afterwards() {
    let twilio = Twilio::start().await;
    assert_eq!(check_at_verify(&twilio, "123456").await.json()["code"], 20_404);
    assert_eq!(start_at_verify(&twilio).await.status(), 201);
    let code = twilio.code_for(NUMBER);
    assert_eq!(check_at_verify(&twilio, &wrong(&code)).await.json()["status"], "pending");
    start_at_verify(&twilio).await;
    assert_eq!(twilio.code_for(NUMBER), code, "a verification under way keeps its code");
    assert_eq!(check_at_verify(&twilio, &code).await.json()["status"], "approved");
    let answer = check_at_verify(&twilio, &code).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (404, &json!(20_404)));
    start_at_verify(&twilio).await;
    assert_ne!(twilio.code_for(NUMBER), code);
}

#[tokio::test]
async fn verify_looks_at_five_wrong_codes() {
    let twilio = Twilio::start().await;
    start_at_verify(&twilio).await;
    let code = twilio.code_for(NUMBER);
    for _ in 0..5 {
        assert_eq!(check_at_verify(&twilio, &wrong(&code)).await.json()["status"], "pending");
    }
    let answer = check_at_verify(&twilio, &code).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (429, &json!(60_202)));
}

#[tokio::test]
async fn checks_at_the_same_time_are_seen() {
    let twilio = Twilio::start().await;
    start_at_verify(&twilio).await;
    twilio.plan_checks(NUMBER, [Reply::Hang, Reply::Hang]);
    let both = async { tokio::join!(check_at_verify(&twilio, "1"), check_at_verify(&twilio, "2")) };
    let release = async {
        twilio.asked_about(NUMBER, 2).await;
        twilio.release();
    };
    tokio::join!(both, release);
    check_at_verify(&twilio, "3").await;
    assert_eq!((twilio.most_checks_at_once(NUMBER), twilio.checks_for(NUMBER).len()), (2, 3));
}

#[tokio::test]
async fn twilio_takes_no_call_with_broken_instructions() {
    let twilio = Twilio::start().await;
    let path = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json");
    let call = |twiml: &'static str| [("To", NUMBER), ("From", SENDER), ("Twiml", twiml)];
    for broken in ["", "<Response><Say>1 & 2</Say></Response>", "<Response><Say>", "<Say>1</Say>"] {
        assert_eq!(to_twilio(&twilio, &path, &call(broken)).await.status(), 400, "{broken}");
    }
    let good = "<Response><Say loop=\"2\">Ada &amp; Co: your code is 1. 2. 3. 4.</Say></Response>";
    assert_eq!(to_twilio(&twilio, &path, &call(good)).await.status(), 201);
    let (_, twiml) = twilio.calls_for(NUMBER).pop().expect("a call");
    assert_eq!(twiml.spoken, ["Ada & Co: your code is 1. 2. 3. 4."; 2]);
    assert_eq!(twilio.code_for(NUMBER), "1234");
}

#[tokio::test]
async fn twilio_refuses_a_request_with_wrong_credentials() {
    let twilio = Twilio::start().await;
    let path = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
    let headers = [("authorization", "Basic bm9ib2R5Om5vdGhpbmc="), ("content-type", FORM)];
    let answer = client(&twilio).post_with(&path, &headers, "To=%2B14155550100&Body=1234").await;
    assert_eq!((answer.status(), &answer.json()["code"]), (401, &json!(20_003)));
}

async fn to_sinch(sinch: &Sinch, method: hyper::Method, path: &str, body: &Value) -> HttpResponse {
    let authorization = basic(SINCH_APP_ID, SINCH_APP_SECRET);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let path = format!("/verification/v1/verifications{path}");
    client(sinch).request_with(method, &path, &headers, body.to_string()).await
}

#[tokio::test]
async fn sinch_says_once_that_a_code_is_right_and_wants_its_method_back() {
    let sinch = Sinch::start().await;
    let start = json!({"identity": {"type": "number", "endpoint": NUMBER}, "method": "callout"});
    assert_eq!(to_sinch(&sinch, hyper::Method::POST, "", &start).await.status(), 200);
    let code = sinch.code_for(NUMBER);
    let path = format!("/number/{NUMBER}");
    let check = |method: &str, code: &str| json!({"method": method, method: {"code": code}});
    let put = hyper::Method::PUT;
    let answer = to_sinch(&sinch, put.clone(), &path, &check("sms", &code)).await;
    assert!(answer.status() == 400 && answer.text().contains("Invalid identity or code"));
    let answer = to_sinch(&sinch, put.clone(), &path, &check("callout", &wrong(&code))).await;
    assert_eq!((answer.status(), &answer.json()["status"]), (200, &json!("FAIL")));
    // An escaped number is the same number.
    let answer = to_sinch(&sinch, put.clone(), "/number/%2B14155550100", &check("callout", &code)).await;
    assert_eq!((answer.status(), &answer.json()["status"]), (200, &json!("SUCCESSFUL")));
    let answer = to_sinch(&sinch, put, &path, &check("callout", &code)).await;
    assert!(answer.status() >= 400 && answer.text().contains("Invalid identity or code"));
}

const ENVELOPE: &str = r#"<?xml version="1.0"?>
<x:Envelope xmlns:x="http://schemas.xmlsoap.org/soap/envelope/" xmlns:y="http://www.openmindnetworks.com/SoS">
<x:Header/><x:Body><y:SubmitSM x:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><smRequest>
<source><ton>5</ton><npi>1</npi><addr>Ada &amp; Co</addr></source>
<destination><ton>1</ton><npi>1</npi><addr>14155550100</addr></destination>
<shortMessage><stringData>Code 1234 &lt;</stringData></shortMessage>
<registeredDelivery>1</registeredDelivery></smRequest></y:SubmitSM></x:Body></x:Envelope>"#;

#[tokio::test]
async fn mada_takes_an_envelope_that_is_as_it_should_be_and_no_other() {
    let mada = Mada::start().await;
    let authorization = basic(MADA_USERNAME, MADA_PASSWORD);
    let headers = [("authorization", authorization.as_str()), ("content-type", "text/xml; charset=utf-8")];
    let submit = |envelope: String| {
        let client = client(&mada);
        async move { client.post_with("/sos", &headers, envelope).await }
    };
    submit(ENVELOPE.to_owned()).await.expects_status(200).says(["<commandStatus> 0\n</commandStatus>"]);
    let submitted = mada.submitted_for(NUMBER);
    assert_eq!((submitted[0].source.as_str(), submitted[0].text.as_str()), ("Ada & Co", "Code 1234 <"));
    assert_eq!(mada.code_for(NUMBER), "1234");

    for (part, other) in [
        ("<ton>5</ton>", "<ton>1</ton>"),
        ("<npi>1</npi>", "<npi>0</npi>"),
        ("14155550100", "+14155550100"),
        ("www.openmindnetworks.com", "example.com"),
        ("soap/envelope", "soap/other"),
        ("x:encodingStyle", "encodingStyle"),
        ("&amp;", "&"),
        ("</smRequest>", ""),
        ("<registeredDelivery>1</registeredDelivery>", ""),
    ] {
        let answer = submit(ENVELOPE.replace(part, other)).await;
        assert!(answer.status() == 500 && answer.text().contains("Fault"), "{part}: {}", answer.text());
    }
    assert_eq!(mada.submitted_for(NUMBER).len(), 1);
    mada.plan(NUMBER, [Reply::Refuse { status: 200, code: 1_035 }]);
    assert!(submit(ENVELOPE.to_owned()).await.text().contains("1035"));
}

#[tokio::test]
async fn the_plain_gateway_reads_json_and_forms() {
    let plain = SmsGateway::start().await;
    let authorization = format!("Bearer {HTTP_TOKEN}");
    let headers = |kind| [("authorization", authorization.as_str()), ("content-type", kind)];
    let body = json!({"messages": [{"to": NUMBER, "text": "Code 1234"}]}).to_string();
    let answer = client(&plain).post_with("/json", &headers("application/json"), body).await;
    assert_eq!(answer.json(), json!({"status": "ok", "id": "plain-1"}));
    let answer = client(&plain).post_with("/form", &headers(FORM), "to=14155550100&text=Code+5678").await;
    assert_eq!(answer.text(), "OK plain-2\n");
    assert_eq!(plain.texts_for(NUMBER), ["Code 1234", "Code 5678"]);
    client(&plain)
        .post_with("/json", &[("content-type", "application/json")], "{}")
        .await
        .expects_status(401);
}
