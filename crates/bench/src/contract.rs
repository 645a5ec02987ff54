//! The routes that clients use, and the answers that the contract promises (`docs/reference/otp-api.md`,
//! `docs/reference/verify-api.md`).

use clap::ValueEnum;
use serde_json::Value;

use crate::script::{RequestKind, Step};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The number of wrong codes that are still allowed, if the answer has it.
    Expected(Option<u32>),
    /// Refused for too much load (429, 503).
    Refused,
    /// Anything else, in words without codes and numbers.
    Unexpected(String),
}

/// Routes that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Routes {
    /// /api/send-otp and /api/verify-otp, without a credential
    Api,
    /// Verifications and their checks below /v2, of a service of their own, with the account's credentials
    V2,
}

impl Routes {
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Api => "/api",
            Self::V2 => "/v2",
        }
    }

    /// The goal for CPU per request beside the ceiling, for the `dist` build. Below /v2 are a credential, a form, a
    /// service's rules and a longer answer.
    pub fn goal(self, connections: u32) -> f64 {
        let of_api = match connections {
            0..32 => 2.0,
            32..256 => 1.5,
            _ => 1.3,
        };
        if self == Self::Api { of_api } else { of_api * 1.3 }
    }
}

/// How the clients of one server ask, and what its answers must be.
#[derive(Debug, Clone)]
pub enum Dialect {
    Api,
    /// With the id of a service.
    V2(String),
}

/// Wrong codes for a verification of a service that is created without options.
const CHECKS: u32 = 5;

impl Dialect {
    /// Path and body of a request.
    pub fn request(&self, step: &Step) -> (String, String) {
        let (number, api) = (step.digits, |route: &str, body| (format!("/api/{route}"), body));
        match (self, &step.code) {
            (Self::Api, None) => api("send-otp", format!(r#"{{"phoneNumber":"+{number}"}}"#)),
            (Self::Api, Some(code)) => {
                api("verify-otp", format!(r#"{{"user":{{"phoneNumber":"+{number}"}},"code":"{code}"}}"#))
            }
            (Self::V2(service), None) => {
                (format!("/v2/Services/{service}/Verifications"), format!("To=%2B{number}&Channel=sms"))
            }
            (Self::V2(service), Some(code)) => {
                (format!("/v2/Services/{service}/VerificationCheck"), format!("To=%2B{number}&Code={code}"))
            }
        }
    }

    pub fn classify(&self, step: &Step, status: u16, body: &[u8]) -> Verdict {
        if matches!(status, 429 | 503) {
            return Verdict::Refused;
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let found = match self {
            Self::Api => of_api(step, status, &answer),
            Self::V2(_) => of_v2(step, status, &answer),
        };
        found.map_or_else(
            |what| {
                let text = String::from_utf8_lossy(body);
                let said = masked(answer["message"].as_str().unwrap_or(&text));
                Verdict::Unexpected(format!("{status} {said}{what}"))
            },
            Verdict::Expected,
        )
    }
}

/// Status, `code` in the body, and how the message begins: as documented, and `as-built`
/// (`docs/guides/older-servers.md`).
fn promised(kind: RequestKind) -> [(u16, u64, &'static str); 2] {
    match kind {
        RequestKind::Send | RequestKind::SendAgain => {
            [(200, 200, "OTP send successfully."), (200, 200, "Successfully send OTP message")]
        }
        RequestKind::Right => {
            [(200, 200, "OTP verified successfully."), (200, 200, "Successfully verified user")]
        }
        RequestKind::Wrong => {
            [(401, 401, "Incorrect OTP/ OTP Expired"), (500, 401, "Incorrect OTP, Try Again")]
        }
        RequestKind::Locks => [
            (403, 403, "User locked out due to exceeding maximum attempts."),
            (500, 403, "Incorrect OTP and Max Limit Reached"),
        ],
    }
}

/// The trials left if the answer is as promised, else what is wrong with it.
fn of_api(step: &Step, status: u16, answer: &Value) -> Result<Option<u32>, String> {
    let (code, message) = (answer["code"].as_u64(), answer["message"].as_str().unwrap_or_default());
    let is = |(promised, promised_code, begins): (u16, u64, &str)| {
        (status, code) == (promised, Some(promised_code)) && message.starts_with(begins)
    };
    if !promised(step.kind).into_iter().any(is) {
        return Err(String::new());
    }
    let data = &answer["data"];
    is_about(step, if step.kind == RequestKind::Right { data } else { &data["user"]["phoneNumber"] })?;
    let trials = data["trials"].as_u64().and_then(|trials| trials.try_into().ok());
    match (step.kind, trials) {
        (RequestKind::Send | RequestKind::SendAgain, Some(0) | None) | (RequestKind::Wrong, None) => {
            Err(", without trials left".to_owned())
        }
        (RequestKind::Wrong, Some(trials)) if trials != step.trials => {
            Err(format!(", with {trials} trials left in place of {}", step.trials))
        }
        _ => Ok(trials),
    }
}

/// The same of an answer below /v2, which does not show how many checks are left.
fn of_v2(step: &Step, status: u16, answer: &Value) -> Result<Option<u32>, String> {
    let (promised, verification, trials) = match step.kind {
        RequestKind::Send | RequestKind::SendAgain => (201, "pending", Some(CHECKS)),
        RequestKind::Right => (200, "approved", None),
        RequestKind::Wrong => (200, "pending", None),
        RequestKind::Locks => (200, "max_attempts_reached", None),
    };
    let is_valid = step.kind == RequestKind::Right;
    if status != promised || answer["status"] != verification || answer["valid"] != is_valid {
        return Err(String::new());
    }
    is_about(step, &answer["to"]).map(|()| trials)
}

fn is_about(step: &Step, number: &Value) -> Result<(), String> {
    let digits = number.as_str().and_then(|number| number.strip_prefix('+')?.parse().ok());
    if digits == Some(step.digits) { Ok(()) } else { Err(", without the number".to_owned()) }
}

/// At most one line of the text, with every run of digits replaced that could be a code or a number.
pub fn masked(text: &str) -> String {
    let line: String = text.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let runs = line.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let hidden = |run: &[u8]| run.len() > 3 && run[0].is_ascii_digit();
    let masked = runs.map(|run| if hidden(run) { "...".into() } else { String::from_utf8_lossy(run) });
    masked.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: u64 = 14_155_552_671;

    /// Of a wrong code after which 4 more are allowed.
    fn classified(kind: RequestKind, status: u16, body: &str) -> Verdict {
        Dialect::Api.classify(&Step { trials: 4, ..Step::send(kind, DIGITS) }, status, body.as_bytes())
    }

    #[test]
    fn the_answers_of_the_contract_are_the_expected_ones() {
        let sent = r#"{"code":200,"message":"OTP send successfully.","data":{"user":{"phoneNumber":"+14155552671"},"trials":5,"more":[1]}}"#;
        assert_eq!(classified(RequestKind::Send, 200, sent), Verdict::Expected(Some(5)));
        let verified = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#;
        assert_eq!(classified(RequestKind::Right, 200, verified), Verdict::Expected(None));
        let wrong = r#"{ "data":{"trials":4,"user":{"phoneNumber":"+14155552671"}}, "message":"Incorrect OTP/ OTP Expired","code":401}"#;
        assert_eq!(classified(RequestKind::Wrong, 401, wrong), Verdict::Expected(Some(4)));
        let locked = r#"{"code":403,"message":"User locked out due to exceeding maximum attempts.","data":{"user":{"phoneNumber":"+14155552671"},"ttl":30,"lockout_duration":30}}"#;
        assert_eq!(classified(RequestKind::Locks, 403, locked), Verdict::Expected(None));
        let as_built = r#"{"code":401,"message":"Incorrect OTP, Try Again","data":{"trials":4,"user":{"phoneNumber":"+14155552671"}}}"#;
        assert_eq!(classified(RequestKind::Wrong, 500, as_built), Verdict::Expected(Some(4)));
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
                matches!(classified(RequestKind::Send, status, &body), Verdict::Unexpected(_)),
                "{status} {body}"
            );
        }
        let wrong = r#"{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{"user":{"phoneNumber":"+14155552671"},"trials":4}}"#;
        let other = wrong.replace("\"trials\":4", "\"trials\":3");
        let Verdict::Unexpected(text) = classified(RequestKind::Wrong, 401, &other) else { panic!() };
        assert!(text.contains("3 trials left in place of 4"), "{text}");
        assert!(matches!(classified(RequestKind::Right, 401, wrong), Verdict::Unexpected(_)));
    }

    #[test]
    fn an_answer_below_v2_tells_status_and_number() {
        let body = |status: &str, valid: bool| {
            format!(r#"{{"status":"{status}","valid":{valid},"to":"+14155552671"}}"#).into_bytes()
        };
        let classified = |kind, status, body: &[u8]| {
            Dialect::V2("VA1".to_owned()).classify(&Step::send(kind, DIGITS), status, body)
        };
        let pending = body("pending", false);
        assert_eq!(classified(RequestKind::Send, 201, &pending), Verdict::Expected(Some(5)));
        assert_eq!(classified(RequestKind::Wrong, 200, &pending), Verdict::Expected(None));
        assert_eq!(classified(RequestKind::Right, 200, &body("approved", true)), Verdict::Expected(None));
        let locks = body("max_attempts_reached", false);
        assert_eq!(classified(RequestKind::Locks, 200, &locks), Verdict::Expected(None));
        assert!(matches!(classified(RequestKind::Right, 200, &pending), Verdict::Unexpected(_)));
        assert!(matches!(classified(RequestKind::Wrong, 200, &locks), Verdict::Unexpected(_)));
    }

    #[test]
    fn an_overloaded_server_is_a_refusal() {
        for status in [429, 503] {
            assert_eq!(
                classified(RequestKind::Send, status, r#"{"code":503,"message":"x"}"#),
                Verdict::Refused
            );
        }
    }

    #[test]
    fn quotes_have_neither_codes_nor_whole_numbers() {
        assert_eq!(masked("403 +14155552671 and 123456\nttl 30"), "403 +... and ... ttl 30");
        let Verdict::Unexpected(text) = classified(RequestKind::Send, 500, "the number 14155552671") else {
            panic!()
        };
        assert_eq!(text, "500 the number ...");
    }
}
