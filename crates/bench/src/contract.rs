//! The answers that the HTTP contract promises (`docs/api.md`).

use std::borrow::Cow;

use serde::Deserialize;

/// The answer that a request must get.
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

/// Status, `code` in the body, and how the message begins: as documented, and `as-built`
/// (`docs/migrating-from-redis-version.md`).
fn promised(expect: Expect) -> [(u16, u16, &'static str); 2] {
    const LOCKED: (u16, u16, &str) = (403, 403, "User locked out due to exceeding maximum attempts.");
    match expect {
        Expect::Sent => [(200, 200, "OTP send successfully."), (200, 200, "Successfully send OTP message")],
        Expect::Verified => {
            [(200, 200, "OTP verified successfully."), (200, 200, "Successfully verified user")]
        }
        Expect::Wrong(_) => {
            [(401, 401, "Incorrect OTP/ OTP Expired"), (500, 401, "Incorrect OTP, Try Again")]
        }
        Expect::Locks => [LOCKED, (500, 403, "Incorrect OTP and Max Limit Reached")],
        Expect::Locked => [LOCKED, (403, 403, "User is prohibted to make any OTP request")],
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    code: u16,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Data<'a> {
    Number(&'a str),
    User {
        #[serde(borrow)]
        user: User<'a>,
        trials: Option<u32>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    phone_number: &'a str,
}

/// Compares an answer about the number `digits` with what is promised.
pub fn classify_response(expect: Expect, digits: u64, status: u16, body: &[u8]) -> Verdict {
    if matches!(status, 429 | 503) {
        return Verdict::Refused;
    }
    let Ok(Answer { code, message, data }) = serde_json::from_slice(body) else {
        return Verdict::Unexpected(format!("{status} {}", masked(&String::from_utf8_lossy(body))));
    };
    let unexpected = |what: &str| Verdict::Unexpected(format!("{status} {}{what}", masked(&message)));
    let is = |(promised_status, promised_code, begins): (u16, u16, &str)| {
        (status, code) == (promised_status, promised_code) && message.starts_with(begins)
    };
    if !promised(expect).into_iter().any(is) {
        return unexpected("");
    }
    let is_ours = |number: &str| number.strip_prefix('+').and_then(|text| text.parse().ok()) == Some(digits);
    match (expect, data) {
        (Expect::Verified, Some(Data::Number(number))) if is_ours(number) => Verdict::Expected(None),
        (Expect::Verified, _) => unexpected(", without the number"),
        (_, Some(Data::User { user, trials })) if is_ours(user.phone_number) => match (expect, trials) {
            (Expect::Sent, Some(0) | None) | (Expect::Wrong(_), None) => unexpected(", without trials left"),
            (Expect::Wrong(left), Some(trials)) if trials != left => {
                unexpected(&format!(", with {trials} trials left in place of {left}"))
            }
            (_, trials) => Verdict::Expected(trials),
        },
        _ => unexpected(", without the number"),
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
        classify_response(expect, DIGITS, status, body.as_bytes())
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
        let as_built = r#"{"code":401,"message":"Incorrect OTP, Try Again","data":{"trials":4,"user":{"phoneNumber":"+14155552671"}}}"#;
        assert_eq!(classified(Expect::Wrong(4), 500, as_built), Verdict::Expected(Some(4)));
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
