use super::*;

#[test]
fn only_an_address_with_scheme_and_host_and_without_secrets_is_accepted() {
    for (text, problem) in [
        ("", "must be a URL"),
        ("sms.example.com/send", "must be a URL"),
        ("http://", "must be a URL"),
        ("ftp://sms.example.com", "must begin with"),
        ("mailto:a@example.com", "must begin with"),
        ("https://user:hunter2@sms.example.com", "must not contain a user name"),
        ("https://sms.example.com/#send", "must not contain a # part"),
    ] {
        let error = provider_url(GatewayName::Http, "http-gateway.url", text).expect_err(text);
        let words = error.to_string();
        assert!(words.starts_with(&format!("Http: http-gateway.url {problem}")), "{words}");
        assert!(!words.contains("hunter2"));
    }
    for text in ["https://sms.example.com", "http://127.0.0.1:8080/a/b?c=d"] {
        assert!(provider_url(GatewayName::Http, "http-gateway.url", text).is_ok(), "{text}");
    }
}

#[test]
fn paths_are_added_to_an_address_whatever_its_end() {
    for (text, expected) in [
        ("https://sms.example.com", "https://sms.example.com/a/b"),
        ("https://sms.example.com/", "https://sms.example.com/a/b"),
        ("https://sms.example.com/v1//", "https://sms.example.com/v1/a/b"),
    ] {
        let base = base_url(GatewayName::Sinch, "url", text).expect(text);
        assert_eq!(below(&base, "a/b").as_str(), expected);
    }
    let error = base_url(GatewayName::Sinch, "url", "https://sms.example.com?a=b").expect_err("a query");
    assert_eq!(error.problem, "must not contain a ? part: paths are added to it");
}

#[test]
fn the_header_is_that_of_the_standard_and_is_not_printed() {
    let header = auth("Aladdin", "open sesame").expect("a header");
    assert_eq!(header.as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(format!("{header:?}"), "Sensitive");
}

#[test]
fn what_a_server_would_read_differently_is_refused() {
    for (user, password) in [("a:b", "c"), ("", "c"), ("a", "")] {
        assert_eq!(auth(user, password).expect_err(user).setting, "MADA_USERNAME and MADA_PASSWORD");
    }
    assert!(auth("a", "b:c").is_ok());
}

fn auth(user: &str, password: &str) -> Result<HeaderValue, GatewaySettingsError> {
    basic_auth(GatewayName::Mada, "MADA_USERNAME and MADA_PASSWORD", user, &password.to_owned().into())
}
