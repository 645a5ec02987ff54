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
        let words = provider_url(GatewayName::Http, "gateways.Http.url", text).expect_err(text).to_string();
        assert!(words.starts_with(&format!("Http: gateways.Http.url {problem}")), "{words}");
        assert!(!words.contains("hunter2"));
    }
    for text in ["https://sms.example.com", "http://127.0.0.1:8080/a/b?c=d"] {
        assert!(provider_url(GatewayName::Http, "gateways.Http.url", text).is_ok(), "{text}");
    }
}
