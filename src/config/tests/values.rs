//! The accepted values of each kind.

use std::fmt::Debug;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tracing::Level;

use crate::config::kind::{self, Choice, CodeTime, Flag, Kind, LockoutTime, MaxChecks, Span, Spelled};
use crate::config::settings::{AnswerSet, ListenAddress};
use crate::config::values::{
    BaseUrl, Brand, HostPort, MessageTexts, Password, SenderNumber, TwilioSid, WebDomain, Workflow,
    host_variable, is_exposed, is_twilio_host, is_twilio_sender, is_twilio_sid,
};

#[track_caller]
fn reads<K: Kind<Value: Debug + PartialEq<V>>, V: Debug>(pairs: &[(&str, V)]) {
    for (text, value) in pairs {
        let read = K::read(text).unwrap_or_else(|| panic!("{text:?} is refused"));
        assert!(read == *value, "{text:?} is {read:?}");
    }
}

#[track_caller]
fn refuses<K: Kind>(texts: &[&str]) {
    for text in texts {
        assert!(K::read(text).is_none(), "{text:?}");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_bare_number_counts_in_the_unit_of_its_key_and_units_in_any() {
    reads::<CodeTime, _>(&[("30", SECOND * 30), ("45s", SECOND * 45), (" 1h 30m ", MINUTE * 90)]);
    reads::<LockoutTime, _>(&[("30", MINUTE * 30), ("45s", SECOND * 45), ("1h30m", MINUTE * 90)]);
    reads::<Span<10, { kind::MINUTE }>, _>(&[("500ms", Duration::from_millis(500))]);
}

#[test]
fn the_limits_of_a_range_belong_to_it() {
    reads::<CodeTime, _>(&[("1", SECOND), ("24h", MINUTE * 60 * 24)]);
    reads::<MaxChecks, _>(&[("1", 1_u64), ("100", 100)]);
    let neither =
        ["", " ", "soon", "-5", "5 parsecs", "1.5", "99999999999999999999999", "18446744073709551615m"];
    refuses::<CodeTime>(&[&neither[..], &["0", "86401"]].concat());
    refuses::<MaxChecks>(&[&neither[..], &["0", "101"]].concat());
}

#[test]
fn a_flag_is_true_or_false_in_any_case_and_nothing_else() {
    reads::<Flag, _>(&[("true", true), (" TRUE ", true), ("False", false)]);
    refuses::<Flag>(&["", "yes", "1", "0", "on", "truee"]);
}

#[test]
fn a_choice_lists_its_names_when_it_is_wrong() {
    refuses::<Choice<Level>>(&["verbose"]);
    assert_eq!(Choice::<Level>::accepted(), "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"");
    reads::<Choice<AnswerSet>, _>(&[("As-Built", AnswerSet::AsBuilt)]);
    assert_eq!(AnswerSet::NAMES.len(), 2);
}

#[test]
fn a_brand_cannot_smuggle_a_placeholder_or_a_line_into_a_message() {
    reads::<Brand, _>(&[("  Acme & Sons ", "Acme & Sons")]);
    refuses::<Brand>(&["a{code}", "x}", "a\nb", "_CODE_", &"x".repeat(101)]);
}

#[test]
fn host_and_port_are_split_where_they_should_be() {
    let at = |host: &str, port| Some(ListenAddress { host: host.to_owned(), port });
    reads::<HostPort, _>(&[
        ("127.0.0.1:3000", at("127.0.0.1", 3000)),
        (":8080", at("", 8080)),
        ("[::1]:0", at("::1", 0)),
        (" example.com:443 ", at("example.com", 443)),
    ]);
    refuses::<HostPort>(&[
        "localhost",
        "::1",
        "::1:3000",
        "localhost:",
        "a:70000",
        "a:+1",
        "http://a:1",
        "a b:1",
        "[x]:1",
    ]);
    for (host, text) in [("::1", "[::1]:3000"), ("localhost", "localhost:3000"), ("", ":3000")] {
        assert_eq!(ListenAddress { host: host.to_owned(), port: 3000 }.to_string(), text);
    }
}

#[test]
fn the_tutorials_host_may_be_a_url() {
    for (text, host, port) in [
        ("http://localhost", "localhost", None),
        ("http://localhost:5000/", "localhost", Some(5000)),
        ("https://example.com", "example.com", None),
        ("http://[::1]:5000", "::1", Some(5000)),
        ("127.0.0.1", "127.0.0.1", None),
        ("[::1]", "::1", None),
        ("localhost/", "localhost", None),
        ("127.0.0.1:5000/", "127.0.0.1", Some(5000)),
        ("[::1]:5000", "::1", Some(5000)),
    ] {
        assert_eq!(host_variable(text), Some((host.to_owned(), port)), "{text}");
    }
    for text in ["ftp://localhost", "http://", "local host", "localhost:", "localhost:x", ":3000", "/", " "] {
        assert_eq!(host_variable(text), None, "{text}");
    }
}

#[test]
fn a_base_url_loses_its_last_slash_and_keeps_its_path() {
    for (text, base) in [
        ("https://api.twilio.com/", "https://api.twilio.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://gateway.example/api/laml/", "https://gateway.example/api/laml"),
    ] {
        assert_eq!(BaseUrl::read(text).as_deref(), Some(base), "{text}");
    }
    let wrong =
        ["", "api.twilio.com", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x#a", "https://"];
    refuses::<BaseUrl>(&wrong);
}

#[test]
fn a_plain_url_is_exposed_unless_it_stays_on_this_machine() {
    for (text, exposed) in [
        ("http://gateway.example", true),
        ("https://gateway.example", false),
        ("http://127.0.0.1:8080", false),
        ("http://[::1]:8080", false),
        ("sms.example.com:80/soap", true),
        ("127.0.0.1:80/soap", false),
    ] {
        assert_eq!(is_exposed(text), exposed, "{text}");
    }
}

#[test]
fn only_twilios_own_hosts_are_twilio() {
    for (text, own) in [
        ("https://api.twilio.com", true),
        ("https://api.dublin.ie1.twilio.com", true),
        ("https://nottwilio.com", false),
        ("http://localhost:1", false),
    ] {
        assert_eq!(is_twilio_host(text), own, "{text}");
    }
}

#[test]
fn a_web_site_is_a_name_and_nothing_more() {
    reads::<WebDomain, _>(&[(" Example.com ", "example.com"), ("localhost", "localhost")]);
    let wrong = ["", "https://example.com", "example.com:443", "example.com/x", "127.0.0.1", "münchen.de"];
    refuses::<WebDomain>(&wrong);
}

#[test]
fn texts_may_be_an_object_or_json_in_a_text() {
    assert_eq!(MessageTexts::read(r#"{"sms": "{code}"}"#).map(|texts| texts.len()), Some(1));
    refuses::<MessageTexts>(&["", "{", "[]", "sms", "3"]);
}

#[test]
fn a_workflow_is_a_list_or_a_text() {
    let shown = |value: &Value| Workflow::of(value).map(|steps| Workflow::shown(&steps));
    let list = shown(&json!(["sms:20s", "call", "WhatsApp: 1m"]));
    assert_eq!(list, Some(json!("sms:20s,call:20s,whatsapp:1m")));
    assert_eq!(list, shown(&json!("sms, call:20,whatsapp:60s")));
    assert_eq!(list, shown(&json!(r#" ["sms:20s", "call", "whatsapp:60s"]"#)));
    assert_eq!([json!(""), json!([])].map(|empty| Workflow::of(&empty)), [Some(vec![]), Some(vec![])]);
    let long = ["sms"; Workflow::LONGEST + 1].join(",");
    let wrong = ["mail", "sms,", "sms:0", "sms:2h", "sms:soon", "sms;call", "[\"sms\"", "[1]", long.as_str()];
    refuses::<Workflow>(&wrong);
    assert_eq!([json!([1, 2]), json!(3)].map(|wrong| Workflow::of(&wrong)), [None, None]);
}

#[test]
fn a_credential_is_one_line_and_a_colon_would_move_the_end_of_a_name() {
    let read = Password::read("correct horse").map(|secret| secret.expose_secret().to_owned());
    assert_eq!(read.as_deref(), Some("correct horse"));
    refuses::<Password>(&["", " ", "a\nb", &"x".repeat(257)]);
    assert!(!format!("{:?}", Password::read("hunter2")).contains("hunter2"));
}

#[test]
fn an_id_cannot_leave_its_place_in_the_path() {
    refuses::<TwilioSid<'A', 'C'>>(&["", "AC/../x", "AC?x", "AC x", "AC%2e", &"a".repeat(65)]);
    reads::<TwilioSid<'A', 'C'>, _>(&[(" AC12-3_4 ", "AC12-3_4")]);
    let digits = "0123456789abcdef0123456789ABCDEF";
    for (text, own) in [
        (format!("AC{digits}"), true),
        (format!("MG{digits}"), false),
        (format!("AC{digits}0"), false),
        (format!("AC{}g", &digits[1..]), false),
        ("AC".to_owned(), false),
    ] {
        assert_eq!(is_twilio_sid("AC", &text), own, "{text}");
    }
}

#[test]
fn what_twilio_can_send_from_is_a_number_a_short_code_or_a_name() {
    for text in ["+14155552671", "+1 415 555 2671", "123", "12345678", "Acme", "Acme & Sons", "A"] {
        assert!(is_twilio_sender(text), "{text}");
    }
    for text in
        ["+1", "+1...", "12", "123456789", "4155552671", "Acme and Sons", "Acme.com", "...", "&-_+", "Acüme"]
    {
        assert!(!is_twilio_sender(text), "{text}");
    }
    let sender = SenderNumber::read(" +1 415 555 2671 ").map(|sender| (SenderNumber::shown(&sender), sender));
    assert_eq!(sender, Some((json!("+1415*****71"), "+1 415 555 2671".to_owned())));
    refuses::<SenderNumber>(&["whatsapp:+14155552671"]);
}
