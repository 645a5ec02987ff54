//! The bytes of a request on the wire.

use serde_json::Value;

use secrecy::SecretString;

use super::*;

const NASTY: &str = "a b&c=d?e#f/g%h+i\"j\\k{to}l\r\nm é \u{1f600}";

#[tokio::test]
async fn every_placeholder_has_its_value() {
    let describe = |base: &str| HttpGatewaySettings {
        json: Some(json!({
            "a": "{to}|{to_digits}|{text}|{code}|{channel}|{validity_seconds}",
            "b": ["{username}", "{password}", { "c": "{token} {basic}" }],
            "d": [1, true, null, "{{text}} stays"],
            "{to}": "a name stays as it is",
        })),
        ..settings(base)
    };
    let request = request_of(describe, &message("Hello")).await;
    assert_eq!(request.request_line, "POST /send HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        serde_json::from_str::<Value>(&request.body).expect("JSON"),
        json!({
            "a": "+14155552671|14155552671|Hello|012345|sms|25",
            "b": ["user", "s3cr3t", { "c": "t0ken dXNlcjpzM2NyM3Q=" }],
            "d": [1, true, null, "{text} stays"],
            "{to}": "a name stays as it is",
        })
    );
}

#[tokio::test]
async fn what_is_put_into_json_stays_inside_its_text() {
    let text = r#"","admin":true,"x":""#;
    let request = request_of(settings, &message(text)).await;
    assert_eq!(request.body, r#"{"text":"\",\"admin\":true,\"x\":\"","to":"+14155552671"}"#);
    let request = request_of(settings, &message(NASTY)).await;
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body, json!({ "to": "+14155552671", "text": NASTY }));
}

#[tokio::test]
async fn what_is_put_into_a_form_stays_inside_its_field() {
    let describe = |base: &str| {
        let fields = [("msisdn", "{to_digits}"), ("text", "{text}"), ("key", "{token}"), ("odd &=", "a+b")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        HttpGatewaySettings { method: "put".to_owned(), json: None, form: Some(fields), ..settings(base) }
    };
    let request = request_of(describe, &message("a b&key=c")).await;
    assert_eq!(request.request_line, "PUT /send HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.body, "msisdn=14155552671&text=a+b%26key%3Dc&key=t0ken&odd+%26%3D=a%2Bb");
    let request = request_of(describe, &message(NASTY)).await;
    assert_eq!(request.form()[1], ("text".to_owned(), NASTY.to_owned()));
}

#[tokio::test]
async fn what_is_put_into_the_url_stays_inside_its_part() {
    let describe = |base: &str| HttpGatewaySettings {
        method: "GET".to_owned(),
        url: format!("{base}/v1/{{text}}/to/{{to}}?text={{text}}&user={{username}}"),
        json: None,
        ..settings(base)
    };
    let request = request_of(describe, &message(NASTY)).await;
    let encoded = "a%20b%26c%3Dd%3Fe%23f%2Fg%25h%2Bi%22j%5Ck%7Bto%7Dl%0D%0Am%20%C3%A9%20%F0%9F%98%80";
    assert_eq!(
        request.request_line,
        format!("GET /v1/{encoded}/to/%2B14155552671?text={encoded}&user=user HTTP/1.1")
    );
    assert_eq!((request.header("content-type"), request.body.as_str()), (None, ""));
}

#[tokio::test]
async fn a_secret_with_special_characters_is_encoded_like_the_rest() {
    let describe = |base: &str| HttpGatewaySettings {
        url: format!("{base}/send?key={{token}}&to={{to}}"),
        values: [("token".to_owned(), SecretString::from("a&b=c {to}".to_owned()))].into(),
        ..settings(base)
    };
    let request = request_of(describe, &message("x")).await;
    assert_eq!(request.request_line, "POST /send?key=a%26b%3Dc%20%7Bto%7D&to=%2B14155552671 HTTP/1.1");
}

#[tokio::test]
async fn headers_are_sent_as_described() {
    let describe = |base: &str| {
        let headers = [
            ("Authorization", "Basic {basic}"),
            ("X-Api-Key", "key {token}; to={to}"),
            ("content-type", "application/json; charset=utf-8"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        HttpGatewaySettings { headers, ..settings(base) }
    };
    let request = request_of(describe, &message("x")).await;
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzM2NyM3Q="));
    assert_eq!(request.header("x-api-key"), Some("key t0ken; to=+14155552671"));
    let content_types: Vec<_> =
        request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type")).collect();
    assert_eq!(content_types.len(), 1);
    assert_eq!(content_types[0].1, "application/json; charset=utf-8");
}

#[tokio::test]
async fn a_code_that_ends_within_the_second_is_not_sent_as_endless() {
    let describe =
        |base: &str| HttpGatewaySettings { url: format!("{base}/{{validity_seconds}}"), ..settings(base) };
    let message = OutgoingMessage { valid_for: Duration::from_millis(999), ..message("x") };
    assert_eq!(request_of(describe, &message).await.request_line, "POST /1 HTTP/1.1");
}
