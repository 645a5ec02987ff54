//! The answers that the HTTP contract promises (`docs/api.md`).

use std::borrow::Cow;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Messages and statuses of the server: `redis-version-answers` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerSet {
    /// As the Redis version's documents say.
    Documented,
    /// As its code does.
    AsBuilt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Sent,
    Verified,
    /// A wrong code; so many more are allowed.
    Wrong(u32),
    /// The wrong code that locks the number.
    Locks,
    /// The number was locked before.
    Locked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// With the number of wrong codes that are still allowed, if the answer says so.
    Expected(Option<u32>),
    /// Refused for too much load (429, 503).
    Refused,
    /// Anything else, in words without codes and numbers.
    Unexpected(String),
}

/// Status, `code` in the body, and how the message begins.
fn promised(answers: AnswerSet, expect: Expect) -> (u16, u16, &'static str) {
    const LOCKED: &str = "User locked out due to exceeding maximum attempts.";
    match (answers, expect) {
        (AnswerSet::Documented, Expect::Sent) => (200, 200, "OTP send successfully."),
        (AnswerSet::Documented, Expect::Verified) => (200, 200, "OTP verified successfully."),
        (AnswerSet::Documented, Expect::Wrong(_)) => (401, 401, "Incorrect OTP/ OTP Expired"),
        (AnswerSet::Documented, Expect::Locks | Expect::Locked) => (403, 403, LOCKED),
        (AnswerSet::AsBuilt, Expect::Sent) => (200, 200, "Successfully send OTP message"),
        (AnswerSet::AsBuilt, Expect::Verified) => (200, 200, "Successfully verified user"),
        (AnswerSet::AsBuilt, Expect::Wrong(_)) => (500, 401, "Incorrect OTP, Try Again"),
        (AnswerSet::AsBuilt, Expect::Locks) => (500, 403, "Incorrect OTP and Max Limit Reached"),
        (AnswerSet::AsBuilt, Expect::Locked) => (403, 403, "User is prohibted to make any OTP request"),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    code: u16,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    user: User<'a>,
    trials: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    phone_number: &'a str,
}

/// Compares an answer about the number `digits` with what is promised.
pub fn classify_response(
    answers: AnswerSet,
    expect: Expect,
    digits: u64,
    status: u16,
    body: &[u8],
) -> Verdict {
    if matches!(status, 429 | 503) {
        return Verdict::Refused;
    }
    let Ok(Envelope { code, message, data }) = serde_json::from_slice(body) else {
        return Verdict::Unexpected(format!("{status} {}", masked(&String::from_utf8_lossy(body))));
    };
    let unexpected = |what: &str| Verdict::Unexpected(format!("{status} {}{what}", masked(&message)));
    let (wanted_status, wanted_code, begins) = promised(answers, expect);
    if status != wanted_status || code != wanted_code || !message.starts_with(begins) {
        return unexpected("");
    }
    let data = data.map_or("null", RawValue::get);
    let is_ours = |number: &str| number.strip_prefix('+').and_then(|text| text.parse().ok()) == Some(digits);
    if expect == Expect::Verified {
        let ours = serde_json::from_str::<&str>(data).is_ok_and(is_ours);
        return if ours { Verdict::Expected(None) } else { unexpected(", without the number") };
    }
    let Some(data) = serde_json::from_str::<Data>(data).ok().filter(|data| is_ours(data.user.phone_number))
    else {
        return unexpected(", without the number");
    };
    match (expect, data.trials) {
        (Expect::Sent, Some(0) | None) | (Expect::Wrong(_), None) => unexpected(", without trials left"),
        (Expect::Wrong(left), Some(trials)) if trials != left => {
            unexpected(&format!(", with {trials} trials left in place of {left}"))
        }
        (_, trials) => Verdict::Expected(trials),
    }
}

/// At most one line of the text, with every run of digits replaced that could be a code or a number.
pub fn masked(text: &str) -> String {
    const LONGEST: usize = 160;
    let (mut masked, mut run) = (String::new(), String::new());
    for c in text.chars().take(LONGEST).chain([' ']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        masked.push_str(if run.len() < 4 { &run } else { "..." });
        run.clear();
        masked.push(if c.is_control() { ' ' } else { c });
    }
    masked.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: u64 = 14_155_552_671;

    fn classified(expect: Expect, status: u16, body: &str) -> Verdict {
        classify_response(AnswerSet::Documented, expect, DIGITS, status, body.as_bytes())
    }

    #[test]
    fn the_answers_of_the_contract_are_the_expected_ones() {
        let sent = r#"{"code":200,"message":"OTP send successfully.","data":{"user":{"phoneNumber":"+14155552671"},"trials":5,"more":[1]}}"#;
        assert_eq!(classified(Expect::Sent, 200, sent), Verdict::Expected(Some(5)));
        let verified = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#;
        assert_eq!(classified(Expect::Verified, 200, verified), Verdict::Expected(None));
        let wrong = r#"{ "data":{"trials":4,"user":{"phoneNumber":"+14155552671"}}, "message":"Incorrect OTP/ OTP Expired","code":401}"#;
        assert_eq!(classified(Expect::Wrong(4), 401, wrong), Verdict::Expected(Some(4)));
        let locked = r#"{"code":403,"message":"User locked out due to exceeding maximum attempts.","data":{"user":{"phoneNumber":"+14155552671"},"ttl":30,"lockout_duration":30}}"#;
        assert_eq!(classified(Expect::Locks, 403, locked), Verdict::Expected(None));
        assert_eq!(classified(Expect::Locked, 403, locked), Verdict::Expected(None));
    }

    #[test]
    fn another_number_another_count_or_another_status_is_unexpected() {
        let sent = |number: &str, trials: &str| {
            let data = format!(r#"{{"user":{{"phoneNumber":"{number}"}}{trials}}}"#);
            format!(r#"{{"code":200,"message":"OTP send successfully.","data":{data}}}"#)
        };
        for (status, body) in [
            (200, sent("+14155552672", r#","trials":5"#)),
            (200, sent("+14155552671", "")),
            (200, sent("+14155552671", r#","trials":0"#)),
            (201, sent("+14155552671", r#","trials":5"#)),
            (200, r#"{"code":200,"message":"OTP send successfully."}"#.to_owned()),
        ] {
            assert!(
                matches!(classified(Expect::Sent, status, &body), Verdict::Unexpected(_)),
                "{status} {body}"
            );
        }
        let wrong = r#"{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{"user":{"phoneNumber":"+14155552671"},"trials":4}}"#;
        let Verdict::Unexpected(text) = classified(Expect::Wrong(3), 401, wrong) else { panic!() };
        assert!(text.contains("4 trials"), "{text}");
        assert!(matches!(classified(Expect::Verified, 401, wrong), Verdict::Unexpected(_)));
    }

    #[test]
    fn an_overloaded_server_is_a_refusal() {
        for status in [429, 503] {
            assert_eq!(classified(Expect::Sent, status, r#"{"code":503,"message":"x"}"#), Verdict::Refused);
        }
    }

    #[test]
    fn quotes_have_neither_codes_nor_whole_numbers() {
        assert_eq!(masked("403 +14155552671 and 123456\nttl 30"), "403 +... and ... ttl 30");
        let Verdict::Unexpected(text) = classified(Expect::Sent, 500, "the number 14155552671") else {
            panic!()
        };
        assert_eq!(text, "500 the number ...");
    }
}
