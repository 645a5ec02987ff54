//! Invalid descriptions, and the errors of the start.

use secrecy::SecretString;

use super::*;

/// The start's errors for settings that differ from good ones in one point.
fn refused(change: impl FnOnce(&mut HttpGatewaySettings)) -> String {
    let mut settings = settings("https://sms.example.com");
    change(&mut settings);
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1)));
    let error = HttpGateway::new(&settings, clock).expect_err("refused").to_string();
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[test]
fn a_placeholder_that_does_not_exist_is_named_with_its_place() {
    let names = "there are {to}, {to_digits}, {text}, {code}, {channel}, {validity_seconds}, {validity_minutes}, \
                 {locale}, {attempt}, {callback}, {username}, {password}, {token}, {basic}";
    for (place, error) in [
        ("http-gateway.url", refused(|s| s.url.push_str("/{phone}"))),
        ("http-gateway.headers.X-A", refused(|s| s.headers.push(("X-A".to_owned(), "{phone}".to_owned())))),
        ("http-gateway.json", refused(|s| s.json = Some(json!([{ "a": ["{phone}"] }])))),
        (
            "http-gateway.form.msg",
            refused(|s| (s.json, s.form) = (None, Some(vec![("msg".to_owned(), "{phone}".to_owned())]))),
        ),
    ] {
        assert_eq!(error, format!("Http: {place} has an unknown placeholder {{phone}}; {names}"));
    }
}

#[test]
fn a_name_with_a_line_break_does_not_break_the_line_of_the_error() {
    let fields = vec![("a\nb\u{1b}".to_owned(), "{phone}".to_owned())];
    let error = refused(|s| (s.json, s.form) = (None, Some(fields)));
    assert!(error.starts_with("Http: http-gateway.form.a\u{fffd}b\u{fffd} has an unknown"), "{error}");
}

#[test]
fn a_brace_without_a_placeholder_is_refused_without_repeating_its_text() {
    for text in ["{", "}", "a { b", "a } b", "{to", "to}", "{{to}", "{to}}"] {
        let error = refused(|s| s.json = Some(json!({ "a": text })));
        assert!(
            error.starts_with("Http: http-gateway.json has a brace without its partner"),
            "{text}: {error}"
        );
    }
    for text in ["{}", "{ to }", "{TO}", "{hunter2}", "{\"a\":1}"] {
        let error = refused(|s| s.json = Some(json!({ "a": text })));
        assert!(
            error.starts_with("Http: http-gateway.json has braces around what is no placeholder"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_placeholder_without_a_value_names_the_variable_to_set() {
    for (name, variable) in [
        ("username", "HTTP_GATEWAY_USERNAME"),
        ("password", "HTTP_GATEWAY_PASSWORD"),
        ("token", "HTTP_GATEWAY_TOKEN"),
        ("basic", "HTTP_GATEWAY_USERNAME"),
    ] {
        for missing in [None, Some(SecretString::from(String::new()))] {
            let error = refused(|s| {
                let names = ["username", "password", "token"].map(str::to_owned);
                s.values = names.into_iter().filter_map(|name| Some((name, missing.clone()?))).collect();
                s.headers.push(("X-A".to_owned(), format!("{{{name}}}")));
            });
            let expected =
                format!("http-gateway.headers.X-A uses {{{name}}}, which has no value: set {variable}");
            assert!(error.ends_with(&expected), "{error}");
        }
    }
    let colon = refused(|s| {
        s.values.insert("username".to_owned(), SecretString::from("hunter2:x".to_owned()));
        s.headers.push(("X-A".to_owned(), "{basic}".to_owned()));
    });
    assert!(colon.contains("must not contain a colon"), "{colon}");
}

#[test]
fn the_server_is_written_out_in_the_url() {
    for (url, words) in [
        ("{to}", "must have scheme and host written out"),
        ("https://{to}", "must have scheme and host written out"),
        ("https://{token}.example.com/", "must have scheme and host written out"),
        ("https://sms.example.com{to}", "must have scheme and host written out"),
        ("https://user:{password}@sms.example.com/", "must have scheme and host written out"),
        ("sms.example.com/{to}", "must be a URL"),
        ("ftp://sms.example.com/{to}", "must begin with https:// or http://"),
        ("https://user:hunter2@sms.example.com/{to}", "must not contain a user name or password"),
        ("https://sms.example.com/#{to}", "must not contain a # part"),
        ("https://sms.example.com/{to}#a", "must not contain a # part"),
        ("", "is missing"),
    ] {
        let error = refused(|s| url.clone_into(&mut s.url));
        assert!(error.starts_with(&format!("Http: http-gateway.url {words}")), "{url}: {error}");
    }
}

#[test]
fn a_method_that_cannot_carry_the_request_is_refused() {
    for method in ["", "DELETE", "POST ", "{code}"] {
        let error = refused(|s| method.clone_into(&mut s.method));
        assert_eq!(error, "Http: http-gateway.method must be GET, POST or PUT");
    }
    let error = refused(|s| "GET".clone_into(&mut s.method));
    assert!(error.starts_with("Http: http-gateway.method is GET, which has no body"), "{error}");
}

#[test]
fn a_header_that_cannot_be_sent_is_refused() {
    for (name, value, words) in [
        ("", "a", "http-gateway.headers. has a name"),
        ("a b", "a", "http-gateway.headers.a b has a name"),
        ("X-A:", "a", "http-gateway.headers.X-A: has a name"),
        ("Host", "a", "http-gateway.headers.Host is written by the HTTP client"),
        ("content-LENGTH", "1", "http-gateway.headers.content-LENGTH is written by"),
        ("Transfer-Encoding", "chunked", "http-gateway.headers.Transfer-Encoding is written by"),
        ("Connection", "close", "http-gateway.headers.Connection is written by"),
        ("X-A", "{text}", "http-gateway.headers.X-A uses {text}"),
        ("X-A", "a\r\nX-B: c", "http-gateway.headers.X-A must be visible ASCII"),
        ("X-A", "é", "http-gateway.headers.X-A must be visible ASCII"),
    ] {
        let error = refused(|s| s.headers.push((name.to_owned(), value.to_owned())));
        assert!(error.starts_with(&format!("Http: {words}")), "{name}: {error}");
    }
    let secret = refused(|s| {
        s.values.insert("token".to_owned(), SecretString::from("hunter2\r\nX-B: c".to_owned()));
        s.headers.push(("X-A".to_owned(), "{token}".to_owned()));
    });
    assert!(secret.contains("secrets included"), "{secret}");
    let twice = refused(|s| {
        s.headers = vec![("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())];
    });
    assert_eq!(twice, "Http: http-gateway.headers.x-a is given twice");
}

#[test]
fn a_request_without_the_code_or_the_recipient_is_refused() {
    let error = refused(|s| s.json = Some(json!({ "text": "{text}", "from": "{username}" })));
    assert!(error.contains("has neither {to} nor {to_digits}"), "{error}");
    let error = refused(|s| s.json = Some(json!({ "to": "{to}", "text": "_CODE_" })));
    assert!(error.contains("has neither {text} nor {code}"), "{error}");
    let error = refused(|s| s.json = None);
    assert!(error.contains("has neither"), "{error}");
}

#[test]
fn a_rule_of_success_that_cannot_work_is_refused() {
    let json = |pointer: &str, values: &[&str]| HttpSuccess {
        json: Some(pointer.to_owned()),
        equals: values.iter().map(|v| (*v).to_owned()).collect(),
        ..HttpSuccess::default()
    };
    let list = |value: &str| vec![value.to_owned()];
    let none = HttpSuccess::default;
    for (success, words) in [
        (HttpSuccess { statuses: vec![200, 20], ..none() }, "statuses must be HTTP statuses"),
        (HttpSuccess { statuses: vec![600], ..none() }, "statuses must be HTTP statuses"),
        (HttpSuccess { contains: Some(String::new()), ..none() }, "contains must not be empty"),
        (json("status", &["0"]), "json must be a JSON pointer"),
        (json("/a~2", &["0"]), "json must be a JSON pointer"),
        (json("/a~", &["0"]), "json must be a JSON pointer"),
        (HttpSuccess { message_id: Some("id".to_owned()), ..none() }, "message_id must be a JSON pointer"),
        (json("/a", &[]), "equals must list"),
        (HttpSuccess { bad_number: list("1"), ..none() }, "bad_number needs success.json"),
        (HttpSuccess { retry: list("1"), ..none() }, "retry needs success.json"),
        (HttpSuccess { bad_number: list("1"), ..json("/a", &["1"]) }, "bad_number has a value that another"),
        (HttpSuccess { retry: list("1"), ..json("/a", &["1"]) }, "retry has a value that another"),
        (
            HttpSuccess { retry: list("2"), bad_number: list("2"), ..json("/a", &["1"]) },
            "bad_number has a value that another",
        ),
    ] {
        let error = refused(|s| s.success = success);
        assert!(error.starts_with(&format!("Http: http-gateway.success.{words}")), "{error}");
    }
}

#[test]
fn a_gateway_for_no_channel_is_refused() {
    assert!(refused(|s| s.channels.clear()).starts_with("Http: http-gateway.channels must name a channel"));
}
