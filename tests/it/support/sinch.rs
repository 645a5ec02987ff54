//! A double of Sinch Verification: it makes a code for each number, holds it, and approves it once.

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::held_codes::HeldCodes;
use super::received::{About, Received, RequestPurpose, basic};
use super::reply::Said;

/// The application in the tests' configuration.
pub const SINCH_APP_ID: &str = "4a6ac4b1-0b1c-4c1d-9a3e-5f2b7c8d9e0f";
pub const SINCH_APP_SECRET: &str = "s1nch-app-5ecre7-0f-the-te5ts";

const PATH: &str = "/verification/v1/verifications";

pub type Sinch = Double<SinchApi>;

pub struct SinchApi(HeldCodes);

impl Default for SinchApi {
    fn default() -> Self {
        Self(HeldCodes::of(4))
    }
}

impl Sinch {
    /// The value for `SINCH_VERIFICATION_URL`.
    pub fn verification_url(&self) -> String {
        format!("{}{PATH}", self.base_url())
    }

    pub fn make_codes_of(&self, digits: usize) {
        self.provider().0.make_codes_of(digits);
    }

    pub fn forget(&self, number: &str) {
        self.provider().0.forget(number);
    }

    /// The method of the last code for this number: `sms` or `callout`.
    pub fn method_for(&self, number: &str) -> Option<String> {
        self.received_for(number).last().and_then(|received| method_in(&json_of(received)))
    }
}

impl Provider for SinchApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
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
        let number = &received.about.number;
        let id = format!("{:08}", received.id);
        if received.about.purpose == RequestPurpose::Send {
            self.0.make(number, &method);
            return Said::json(200, &json!({"id": id, "method": method}));
        }
        self.0.look(number, |held| match held {
            None => Said::json(404, &error(40_400, "Invalid identity or code")),
            Some(held) if held.method != method => {
                Said::json(400, &error(40_003, "Invalid identity or code"))
            }
            Some(held) if body[&method]["code"] == held.code.as_str() => {
                held.used = true;
                Said::json(200, &json!({"id": id, "method": method, "status": "SUCCESSFUL"}))
            }
            Some(_) => {
                let answer = json!({"id": id, "method": method, "status": "FAIL", "reason": "Invalid code"});
                Said::json(200, &answer)
            }
        })
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        Said::json(status, &error(code, &format!("No message to {}", received.about.number)))
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        self.0.code_of(&received.about.number)
    }
}

fn json_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

fn method_in(body: &Value) -> Option<String> {
    body["method"].as_str().filter(|method| matches!(*method, "sms" | "callout")).map(str::to_owned)
}

fn complaint(status: u16, words: &str) -> Said {
    Said::json(status, &error(40_001, words))
}

fn error(code: u32, words: &str) -> Value {
    json!({"errorCode": code, "message": words, "reference": ""})
}
