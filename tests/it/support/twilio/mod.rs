//! A double of Twilio: Messages, Calls and Verify at one address. It accepts the same requests, gives the same answers,
//! and fails as Twilio, a proxy or a network can.

mod report;

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, basic, longest_digits};
use super::reply::Said;

pub use report::{PUBLIC_URL, Report};

/// The account in the tests' configuration.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
pub const AUTH_TOKEN: &str = "5ecre7-t0ken-0f-the-acc0unt-9f8e7d";
pub const SENDER: &str = "+15005550006";
pub const WHATSAPP_SENDER: &str = "+15005550007";
pub const VERIFY_SID: &str = "VA0123456789abcdef0123456789abcdef";

const MESSAGES: &str = "/Messages.json";
const CALLS: &str = "/Calls.json";

pub type Twilio = Double<TwilioApi>;

#[derive(Default)]
pub struct TwilioApi {
    verify: Mutex<HeldCodes>,
}

/// The codes that Verify makes: it holds the last one of each number, and approves it once.
#[derive(Default)]
struct HeldCodes {
    /// Each code, and whether it was approved: from then on it is unknown.
    by_number: HashMap<String, (String, bool)>,
    made: u64,
}

impl Twilio {
    /// The text and `WhatsApp` messages to this number.
    pub fn messages_for(&self, number: &str) -> Vec<Received> {
        self.received_for(number).into_iter().filter(|received| received.is_for(MESSAGES)).collect()
    }

    pub fn calls_for(&self, number: &str) -> Vec<Received> {
        self.received_for(number).into_iter().filter(|received| received.is_for(CALLS)).collect()
    }
}

impl Provider for TwilioApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        if received.header("authorization") != basic(ACCOUNT_SID, AUTH_TOKEN) {
            return Err(complaint(401, 20_003, "the credentials are not this account's"));
        }
        let to = received.field("To");
        let number = to.strip_prefix("whatsapp:").unwrap_or(to).to_owned();
        let account_path = format!("/2010-04-01/Accounts/{ACCOUNT_SID}");
        let account = format!("POST {account_path}");
        let service = format!("POST /v2/Services/{VERIFY_SID}");
        let target = received.target.as_str();
        let sends =
            [format!("{account}{MESSAGES}"), format!("{account}{CALLS}"), format!("{service}/Verifications")];
        let purpose = if sends.iter().any(|send| send == target) {
            RequestPurpose::Send
        } else if target == format!("{service}/VerificationCheck") {
            RequestPurpose::Check
        } else if target == format!("GET {account_path}.json")
            || target == format!("GET /v2/Services/{VERIFY_SID}")
        {
            RequestPurpose::Other
        } else {
            return Err(complaint(404, 20_404, &format!("there is no {target}")));
        };
        if purpose != RequestPurpose::Other && !number.starts_with('+') {
            return Err(complaint(400, 20_001, "To must be in E.164 form"));
        }
        Ok(About { number, purpose })
    }

    fn accept(&self, received: &Received) -> Said {
        match received.target.rsplit('/').next() {
            Some("Verifications") => self.start_verification(received),
            Some("VerificationCheck") => self.check_verification(received),
            Some(VERIFY_SID) => Said::json(200, &json!({"sid": VERIFY_SID})),
            Some(own) if own == format!("{ACCOUNT_SID}.json") => {
                Said::json(200, &json!({"sid": ACCOUNT_SID, "status": "active", "type": "Full"}))
            }
            _ => {
                let (sid, to) = (sid_of(received), received.field("To"));
                Said::json(201, &json!({"sid": sid, "status": "queued", "to": to, "error_code": null}))
            }
        }
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        let to = received.field("To");
        Said::json(status, &error(status, code, &format!("The message to {to} was refused")))
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        if received.is_for("/Verifications") {
            self.verify.lock().unwrap().by_number.get(&received.about.number).map(|(code, _)| code.clone())
        } else if received.is_for(CALLS) {
            spoken_code(received.field("Twiml"))
        } else {
            longest_digits(received.field("Body"))
                .or_else(|| longest_digits(received.field("ContentVariables")))
        }
    }
}

/// The id that Twilio gives to the result of a request.
pub fn sid_of(received: &Received) -> String {
    let kind = if received.is_for(CALLS) { "CA" } else { "SM" };
    format!("{kind}{:032x}", received.id)
}

fn complaint(status: u16, code: u32, words: &str) -> Said {
    Said::json(status, &error(status, code, words))
}

fn error(status: u16, code: u32, words: &str) -> Value {
    json!({
        "code": code,
        "message": words,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    })
}

/// Verify, whose codes it holds.
impl TwilioApi {
    /// Sends the code of an open verification again, or begins a new one.
    fn start_verification(&self, received: &Received) -> Said {
        let mut verify = self.verify.lock().unwrap();
        let number = &received.about.number;
        if verify.by_number.get(number).is_none_or(|(_, is_used)| *is_used) {
            verify.made += 1;
            // Ten digits: a time or a counter in a log cannot look like a code. All codes are distinct, because the step
            // shares no factor with a power of ten.
            let code = format!("{:010}", verify.made * 7_236_067_977 % 10_000_000_000);
            verify.by_number.insert(number.clone(), (code, false));
        }
        Said::json(201, &resource(received, "pending"))
    }

    fn check_verification(&self, received: &Received) -> Said {
        match self.verify.lock().unwrap().by_number.get_mut(&received.about.number) {
            Some((code, is_used @ false)) if code == received.field("Code") => {
                *is_used = true;
                Said::json(200, &resource(received, "approved"))
            }
            Some((_, false)) => Said::json(200, &resource(received, "pending")),
            _ => Said::json(404, &error(404, 20_404, "The requested resource was not found")),
        }
    }
}

fn resource(received: &Received, status: &str) -> Value {
    json!({
        "sid": format!("VE{:032x}", received.id),
        "service_sid": VERIFY_SID,
        "account_sid": ACCOUNT_SID,
        "to": received.about.number,
        "channel": received.form.get("Channel").map_or("sms", String::as_str),
        "status": status,
        "valid": status == "approved",
    })
}

/// The code that a call reads out, if any: digits with only full stops, commas and spaces between them.
pub fn spoken_code(twiml: &str) -> Option<String> {
    let texts = twiml.split('>').filter_map(|piece| piece.split('<').next());
    let runs =
        texts.flat_map(|text| text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | ' '))));
    let mut digits = runs.map(|run| run.chars().filter(char::is_ascii_digit).collect::<String>());
    digits.find(|run| run.len() >= 4)
}

/// A code as it is read out, digit by digit.
pub fn one_by_one(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(". ")
}
