//! Answers of the server, and expectations of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{StatusCode, header};
use serde_json::{Value, json};

use super::{OWN_ACCOUNT, OWN_TOKEN, Server, basic, status_and_code};

/// An expected answer of `/api/*`: its code, its message and at least its data, because fields may be added.
pub type Expectation = Value;

#[derive(Debug, Clone)]
pub struct HttpResponse {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpResponse {
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status: status.as_u16(), headers, body }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn is(&self, wanted: &Expectation) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { return false };
        let data_fits = match (wanted.get("data"), body.get("data")) {
            (Some(Value::Object(wanted)), Some(Value::Object(found))) => {
                wanted.iter().all(|(name, value)| found.get(name) == Some(value))
            }
            (wanted, found) => wanted == found,
        };
        wanted["code"] == self.status
            && self.header("content-type") == "application/json"
            && ["code", "message"].iter().all(|field| body[field] == wanted[field])
            && data_fits
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the borrow")]
    pub fn expects(&self, wanted: Expectation) -> &Self {
        assert!(self.is(&wanted), "wanted {wanted}\nbut got HTTP {}: {}", self.status, self.text());
        self
    }

    #[track_caller]
    pub fn expects_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Fails the test unless the answer has this status, and this `status` of a resource or code of an error.
    #[track_caller]
    pub fn tells(self, status: u16, wanted: &str) -> Self {
        assert_eq!(status_and_code(&self), (status, wanted.to_owned()), "{}", self.text());
        self
    }

    /// Fails the test unless the answer is `{"message": ...}` and nothing else.
    #[track_caller]
    pub fn expects_message(&self, status: u16, message: &str) -> &Self {
        assert_eq!((self.status, self.json()), (status, json!({"message": message})));
        self
    }

    /// Seconds after which the answer says to try again. Fails the test unless exactly the header of the route says so:
    /// an error in Twilio's shape has one that no client obeys.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let is_twilio = self.text().contains("\"more_info\"");
        let headers = [header::RETRY_AFTER.as_str(), "x-onceward-retry-after"];
        let (given, absent) = if is_twilio { (headers[1], headers[0]) } else { (headers[0], headers[1]) };
        assert_eq!(self.header(absent), "", "{absent}");
        self.header(given).parse().expect("a number of seconds")
    }

    /// Fails the test unless a compatible route refuses with this status, says why, and when to try again.
    #[track_caller]
    pub fn expects_refusal(&self, status: u16) -> &Self {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (status, &json!(status)), "{body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(self.retry_after() > 0);
        self
    }
}

// The answers of `/api/*` in `docs/reference/otp-api.md`.

/// The provider accepted the message; this many wrong codes are still allowed.
pub fn sent(number: &str, trials: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "trials": trials});
    json!({"code": 200, "message": "OTP send successfully.", "data": data})
}

pub fn verified(number: &str) -> Expectation {
    json!({"code": 200, "message": "OTP verified successfully.", "data": number})
}

/// The code was wrong or late; this many wrong codes are still allowed.
pub fn incorrect(number: &str, trials: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "trials": trials});
    json!({"code": 401, "message": "Incorrect OTP/ OTP Expired", "data": data})
}

/// No codes are sent or checked for this many minutes.
pub fn locked(number: &str, minutes: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "ttl": minutes, "lockout_duration": minutes});
    json!({"code": 403, "message": "User locked out due to exceeding maximum attempts.", "data": data})
}

/// The provider refused or did not answer in time.
pub fn failed() -> Expectation {
    json!({"code": 500, "message": "Internal server error occurred."})
}

pub struct Scrape(pub String);

impl Scrape {
    /// The names of its samples, also of families without one; of a histogram without suffix.
    pub fn names(&self) -> BTreeSet<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let sample = |(name, kind): (&str, &str)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        types.filter_map(|rest| rest.split_once(' ').map(sample)).collect()
    }

    pub fn value(&self, sample: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }
}

/// A scrape with the account's credentials.
pub async fn scraped(server: &Server) -> Scrape {
    let authorization = basic(OWN_ACCOUNT, OWN_TOKEN);
    let answer = server.client.get_with("/metrics", &[("authorization", &authorization)]).await;
    Scrape(answer.expects_status(200).text())
}
