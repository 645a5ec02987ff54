//! Whether an answer is the one that the contract promises.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::IgnoredAny};

use super::options::Answers;

/// What a request must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A code was sent.
    Sent,
    /// The code was right.
    Verified,
    /// The code was wrong, and so many more may be.
    Wrong(u32),
    /// The code was wrong and the last one: the number is locked now.
    Locks,
    /// The number is locked.
    Locked,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The right one. With the wrong codes that are still allowed, if it says so.
    Expected(Option<u32>),
    /// The load is too high, and the client may try again.
    Refused,
    /// Anything else, in words without codes and numbers.
    Unexpected(String),
}

/// One line of the table: the status, the code in the body, and how the message begins.
struct Line(u16, u16, &'static str);

fn line(answers: Answers, expect: Expect) -> Line {
    const WRONG: &str = "Incorrect OTP/ OTP Expired";
    const LOCKED: &str = "User locked out due to exceeding maximum attempts.";
    match (answers, expect) {
        (Answers::Documented, Expect::Sent) => Line(200, 200, "OTP send successfully."),
        (Answers::Documented, Expect::Verified) => Line(200, 200, "OTP verified successfully."),
        (Answers::Documented, Expect::Wrong(_)) => Line(401, 401, WRONG),
        (Answers::Documented, Expect::Locks | Expect::Locked) => Line(403, 403, LOCKED),
        (Answers::AsBuilt, Expect::Sent) => Line(200, 200, "Successfully send OTP message"),
        (Answers::AsBuilt, Expect::Verified) => Line(200, 200, "Successfully verified user"),
        (Answers::AsBuilt, Expect::Wrong(_)) => Line(500, 401, "Incorrect OTP, Try Again"),
        (Answers::AsBuilt, Expect::Locks) => Line(500, 403, "Incorrect OTP and Max Limit Reached"),
        (Answers::AsBuilt, Expect::Locked) => Line(403, 403, "User is prohibted to make any OTP request"),
    }
}

/// Compares an answer with the contract (`docs/api.md`).
pub fn judge(answers: Answers, expect: Expect, digits: u64, status: u16, body: &[u8]) -> Verdict {
    if matches!(status, 429 | 503) {
        return Verdict::Refused;
    }
    let Ok(Envelope { code, message, data }) = serde_json::from_slice(body) else {
        return Verdict::Unexpected(format!("{status} {}", masked(&String::from_utf8_lossy(body))));
    };
    let Line(wanted_status, wanted_code, begins) = line(answers, expect);
    let unexpected = |what: &str| Verdict::Unexpected(format!("{status} {}{what}", masked(&message)));
    if status != wanted_status || code != wanted_code || !message.starts_with(begins) {
        return unexpected("");
    }
    match (&data, expect) {
        (Data::Number(number), Expect::Verified) if is(number, digits) => Verdict::Expected(None),
        (Data::User { number, trials }, _) if expect != Expect::Verified && is(number, digits) => {
            match (expect, *trials) {
                (Expect::Sent, Some(0) | None) | (Expect::Wrong(_), None) => {
                    unexpected(", without trials left")
                }
                (Expect::Wrong(left), Some(trials)) if trials != left => {
                    unexpected(&format!(", with {trials} trials left in place of {left}"))
                }
                _ => Verdict::Expected(*trials),
            }
        }
        _ => unexpected(", with other data than the number"),
    }
}

fn is(number: &str, digits: u64) -> bool {
    // Compared as a number, so that nothing has to be written for it.
    number.strip_prefix('+').and_then(|text| text.parse::<u64>().ok()) == Some(digits)
}

/// The text with every run of digits that could be a code or a number taken out, and not more of it than a line.
pub fn masked(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut masked = String::new();
    let mut run = String::new();
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

#[derive(Deserialize)]
struct Envelope<'a> {
    code: u16,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Data<'a>,
}

#[derive(Default)]
enum Data<'a> {
    Number(Cow<'a, str>),
    User {
        number: Cow<'a, str>,
        trials: Option<u32>,
    },
    #[default]
    Nothing,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    #[serde(borrow)]
    phone_number: Cow<'a, str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Data<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or an object")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Data::Number(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Data::Number(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Data::Nothing)
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let (mut user, mut trials) = (None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match &*key {
                        "user" => user = Some(map.next_value::<User<'de>>()?),
                        "trials" => trials = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(match user {
                    Some(User { phone_number: number }) => Data::User { number, trials },
                    None => Data::Nothing,
                })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: u64 = 14_155_552_671;

    fn judged(expect: Expect, status: u16, body: &str) -> Verdict {
        judge(Answers::Documented, expect, DIGITS, status, body.as_bytes())
    }

    #[test]
    fn the_answers_of_the_contract_are_the_expected_ones() {
        let sent = r#"{"code":200,"message":"OTP send successfully.","data":{"user":{"phoneNumber":"+14155552671"},"trials":5,"more":[1]}}"#;
        assert_eq!(judged(Expect::Sent, 200, sent), Verdict::Expected(Some(5)));
        let verified = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#;
        assert_eq!(judged(Expect::Verified, 200, verified), Verdict::Expected(None));
        let wrong = r#"{ "data":{"trials":4,"user":{"phoneNumber":"+14155552671"}}, "message":"Incorrect OTP/ OTP Expired","code":401}"#;
        assert_eq!(judged(Expect::Wrong(4), 401, wrong), Verdict::Expected(Some(4)));
        let locked = r#"{"code":403,"message":"User locked out due to exceeding maximum attempts.","data":{"user":{"phoneNumber":"+14155552671"},"ttl":30,"lockout_duration":30}}"#;
        assert_eq!(judged(Expect::Locks, 403, locked), Verdict::Expected(None));
        assert_eq!(judged(Expect::Locked, 403, locked), Verdict::Expected(None));
    }

    #[test]
    fn another_number_another_count_or_another_status_is_not() {
        let sent = |number: &str, trials: &str| {
            let data = format!(r#"{{"user":{{"phoneNumber":"{number}"}}{trials}}}"#);
            format!(r#"{{"code":200,"message":"OTP send successfully.","data":{data}}}"#)
        };
        for (status, body) in [
            (200, sent("+14155552672", r#","trials":5"#)),
            (200, sent("+14155552671", "")),
            (200, sent("+14155552671", r#","trials":0"#)),
            (201, sent("+14155552671", r#","trials":5"#)),
        ] {
            assert!(matches!(judged(Expect::Sent, status, &body), Verdict::Unexpected(_)), "{status} {body}");
        }
        let wrong = r#"{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{"user":{"phoneNumber":"+14155552671"},"trials":4}}"#;
        assert!(
            matches!(judged(Expect::Wrong(3), 401, wrong), Verdict::Unexpected(text) if text.contains("4 trials"))
        );
        assert!(matches!(judged(Expect::Verified, 401, wrong), Verdict::Unexpected(_)));
    }

    #[test]
    fn a_load_that_is_too_high_is_a_refusal_and_not_a_surprise() {
        for status in [429, 503] {
            assert_eq!(judged(Expect::Sent, status, r#"{"code":503,"message":"x"}"#), Verdict::Refused);
        }
    }

    #[test]
    fn what_is_quoted_has_neither_codes_nor_whole_numbers() {
        assert_eq!(masked("403 +14155552671 and 123456\nttl 30"), "403 +... and ... ttl 30");
        let Verdict::Unexpected(text) = judged(Expect::Sent, 500, "the number 14155552671") else { panic!() };
        assert_eq!(text, "500 the number ...");
    }
}
