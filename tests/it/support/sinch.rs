//! A double of Sinch Verification: it makes a code for each number, holds it, and approves it once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::numbers::MadeUpCodes;
use super::received::{About, Complaint, Received, RequestPurpose, basic};
use super::reply::Said;

/// The application in the tests' configuration.
pub const SINCH_APP_ID: &str = "4a6ac4b1-0b1c-4c1d-9a3e-5f2b7c8d9e0f";
pub const SINCH_APP_SECRET: &str = "s1nch-app-5ecre7-0f-the-te5ts";

const PATH: &str = "/verification/v1/verifications";

pub type Sinch = Double<SinchApi>;

pub struct SinchApi {
    by_number: Mutex<HashMap<String, Verification>>,
    codes: MadeUpCodes,
    digits: AtomicUsize,
}

struct Verification {
    method: String,
    code: String,
    used: bool,
}

impl Default for SinchApi {
    fn default() -> Self {
        Self { by_number: Mutex::default(), codes: MadeUpCodes::default(), digits: AtomicUsize::new(4) }
    }
}

impl Sinch {
    /// The value for `SINCH_VERIFICATION_URL`.
    pub fn verification_url(&self) -> String {
        format!("{}{PATH}", self.base_url())
    }

    /// Later codes have this many digits.
    pub fn make_codes_of(&self, digits: usize) {
        self.provider().digits.store(digits, Ordering::Relaxed);
    }

    /// Makes the verification of this number expire.
    pub fn forget(&self, number: &str) {
        self.provider().by_number.lock().unwrap().remove(number);
    }

    /// The method of the last code for this number: `sms` or `callout`.
    pub fn method_for(&self, number: &str) -> Option<String> {
        self.received_for(number).last().and_then(|received| method_in(&json_of(received)))
    }
}

impl Provider for SinchApi {
    fn read(&self, received: &Received) -> Result<About, Complaint> {
        if received.authorization != basic(SINCH_APP_ID, SINCH_APP_SECRET) {
            return Err(complaint(401, "the credentials are not this application's"));
        }
        if !received.content_type.starts_with("application/json") {
            return Err(complaint(400, "the body must be JSON"));
        }
        let body = json_of(received);
        let method = method_in(&body).ok_or_else(|| complaint(400, "method must be sms or callout"))?;
        let (number, purpose) = if received.target == format!("POST {PATH}") {
            let identity = &body["identity"];
            if identity["type"] != "number" {
                return Err(complaint(400, "the identity must be a number"));
            }
            (identity["endpoint"].as_str().unwrap_or_default().to_owned(), RequestPurpose::Send)
        } else if let Some(number) = received.target.strip_prefix(&format!("PUT {PATH}/number/")) {
            if !body[&method]["code"].is_string() {
                return Err(complaint(400, "the code must be a text in the member of its method"));
            }
            (number.replace("%2B", "+").replace("%2b", "+"), RequestPurpose::Check)
        } else {
            return Err(complaint(404, &format!("there is no {}", received.target)));
        };
        if !number.starts_with('+') {
            return Err(complaint(400, "the number must be in E.164 form"));
        }
        Ok(About { number, purpose })
    }

    fn accept(&self, received: &Received) -> Said {
        let body = json_of(received);
        let method = method_in(&body).unwrap_or_default();
        let mut by_number = self.by_number.lock().unwrap();
        let id = format!("{:08}", received.id);
        if received.about.purpose == RequestPurpose::Send {
            let code = self.codes.next(self.digits.load(Ordering::Relaxed));
            let verification = Verification { method: method.clone(), code, used: false };
            by_number.insert(received.about.number.clone(), verification);
            return Said::json(200, &json!({"id": id, "method": method}));
        }
        let live = by_number.get_mut(&received.about.number).filter(|verification| !verification.used);
        match live {
            None => Said::json(404, &error(40_400, "Invalid identity or code")),
            Some(verification) if verification.method != method => {
                Said::json(400, &error(40_003, "Invalid identity or code"))
            }
            Some(verification) if body[&method]["code"] == verification.code.as_str() => {
                verification.used = true;
                Said::json(200, &json!({"id": id, "method": method, "status": "SUCCESSFUL"}))
            }
            Some(_) => {
                let answer = json!({"id": id, "method": method, "status": "FAIL", "reason": "Invalid code"});
                Said::json(200, &answer)
            }
        }
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        Said::json(status, &error(code, &format!("No message to {}", received.about.number)))
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        let by_number = self.by_number.lock().unwrap();
        by_number.get(&received.about.number).map(|verification| verification.code.clone())
    }
}

fn json_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

fn method_in(body: &Value) -> Option<String> {
    body["method"].as_str().filter(|method| matches!(*method, "sms" | "callout")).map(str::to_owned)
}

fn complaint(status: u16, words: &str) -> Complaint {
    Complaint { said: Said::json(status, &error(40_001, words)), words: words.to_owned() }
}

fn error(code: u32, words: &str) -> Value {
    json!({"errorCode": code, "message": words, "reference": ""})
}
