//! The routes that clients use, and the answers that the contract promises (`docs/reference/otp-api.md`,
//! `docs/reference/verify-api.md`).

use clap::ValueEnum;
use serde_json::Value;

use crate::script::{RequestKind, Step};

pub enum Verdict {
    Expected,
    /// Refused for too much load (429, 503).
    Refused,
    /// Anything else, in words without codes and numbers.
    Unexpected(String),
}

/// Routes that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Routes {
    /// /api/send-otp and /api/verify-otp, without a credential
    Api,
    /// Verifications and their checks below /v2, of a service of their own, with the account's credentials
    V2,
}

impl Routes {
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "/api",
            Self::V2 => "/v2",
        }
    }
}

/// How the clients of one server ask, and what its answers must be.
#[derive(Debug, Clone)]
pub enum Dialect {
    Api,
    /// With the id of a service.
    V2(String),
}

impl Dialect {
    /// Path and body of a request.
    pub fn request(&self, Step { digits, code, .. }: &Step) -> (String, String) {
        match (self, code) {
            (Self::Api, None) => ("/api/send-otp".to_owned(), format!(r#"{{"phoneNumber":"+{digits}"}}"#)),
            (Self::Api, Some(code)) => {
                let body = format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#);
                ("/api/verify-otp".to_owned(), body)
            }
            (Self::V2(service), None) => {
                (format!("/v2/Services/{service}/Verifications"), format!("To=%2B{digits}&Channel=sms"))
            }
            (Self::V2(service), Some(code)) => {
                (format!("/v2/Services/{service}/VerificationCheck"), format!("To=%2B{digits}&Code={code}"))
            }
        }
    }

    pub fn classify(&self, step: &Step, status: u16, body: &[u8]) -> Verdict {
        if matches!(status, 429 | 503) {
            return Verdict::Refused;
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let (data, state) = (&answer["data"], answer["status"].as_str().unwrap_or_default());
        let (is_promised, number) = match (self, step.kind) {
            (Self::Api, RequestKind::Send) => {
                (status == 200 && data["trials"].as_u64() > Some(0), &data["user"]["phoneNumber"])
            }
            (Self::Api, RequestKind::Right) => (status == 200, data),
            (Self::Api, RequestKind::Wrong) => (matches!(status, 401 | 403), &data["user"]["phoneNumber"]),
            (Self::V2(_), RequestKind::Send) => ((status, state) == (201, "pending"), &answer["to"]),
            (Self::V2(_), RequestKind::Right) => ((status, state) == (200, "approved"), &answer["to"]),
            (Self::V2(_), RequestKind::Wrong) => {
                (status == 200 && matches!(state, "pending" | "max_attempts_reached"), &answer["to"])
            }
        };
        if is_promised && *number == format!("+{}", step.digits) {
            return Verdict::Expected;
        }
        let text = String::from_utf8_lossy(body);
        Verdict::Unexpected(format!("{status} {}", masked(answer["message"].as_str().unwrap_or(&text))))
    }
}

/// At most one line of the text, with every run of digits replaced that could be a code or a number.
pub fn masked(text: &str) -> String {
    let line: String = text.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let runs = line.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let hidden = |run: &[u8]| run.len() > 3 && run[0].is_ascii_digit();
    let masked = runs.map(|run| if hidden(run) { "...".into() } else { String::from_utf8_lossy(run) });
    masked.collect::<String>().trim_end().to_owned()
}
