//! A double of Twilio: Messages, Calls and Verify at one address. It accepts the same requests, gives the same answers,
//! and fails as Twilio, a proxy or a network can.

use std::collections::HashMap;
use std::sync::Mutex;

use onceward::gateway::double::twilio_signature;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::double::{About, Double, Provider, Received, RequestPurpose, Said, basic, longest_digits};
use super::{Client, HttpResponse};

/// The account in the tests' configuration.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
pub const AUTH_TOKEN: &str = "5ecre7-t0ken-0f-the-acc0unt-9f8e7d";
pub const SENDER: &str = "+15005550006";
pub const WHATSAPP_SENDER: &str = "+15005550007";
pub const VERIFY_SID: &str = "VA0123456789abcdef0123456789abcdef";

/// The public URL of the tests' server. A double delivers everything to the server itself.
pub const PUBLIC_URL: &str = "https://otp.example.com";

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

    /// A report about the last message or call to this number, with Twilio's signature.
    pub fn report(&self, number: &str, status: &str) -> Report {
        let about = self.received_for(number).pop().expect("something was sent");
        Report::about(&about, status)
    }
}

impl Provider for TwilioApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        if received.header("authorization") != basic(ACCOUNT_SID, AUTH_TOKEN) {
            return Err(error(401, 20_003, "the credentials are not this account's"));
        }
        let to = received.field("To");
        let number = to.strip_prefix("whatsapp:").unwrap_or(to).to_owned();
        let target = received.target.replace(ACCOUNT_SID, "ACCOUNT").replace(VERIFY_SID, "SERVICE");
        let purpose = match &*target {
            "POST /2010-04-01/Accounts/ACCOUNT/Messages.json"
            | "POST /2010-04-01/Accounts/ACCOUNT/Calls.json"
            | "POST /v2/Services/SERVICE/Verifications" => RequestPurpose::Send,
            "POST /v2/Services/SERVICE/VerificationCheck" => RequestPurpose::Check,
            "GET /2010-04-01/Accounts/ACCOUNT.json" | "GET /v2/Services/SERVICE" => RequestPurpose::Other,
            _ => return Err(error(404, 20_404, &format!("there is no {target}"))),
        };
        if purpose != RequestPurpose::Other && !number.starts_with('+') {
            return Err(error(400, 20_001, "To must be in E.164 form"));
        }
        Ok(About { number, purpose })
    }

    fn accept(&self, received: &Received) -> Said {
        match received.target.rsplit('/').next() {
            Some("Verifications") => self.start_verification(received),
            Some("VerificationCheck") => self.check_verification(received),
            Some(VERIFY_SID) => Said::json(200, &json!({"sid": VERIFY_SID})),
            Some(account) if account.starts_with(ACCOUNT_SID) => {
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
        error(status, code, &format!("The message to {to} was refused"))
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

fn error(status: u16, code: u32, words: &str) -> Said {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    Said::json(status, &json!({"code": code, "message": words, "more_info": more_info, "status": status}))
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
        resource(201, received, "pending")
    }

    fn check_verification(&self, received: &Received) -> Said {
        match self.verify.lock().unwrap().by_number.get_mut(&received.about.number) {
            Some((code, is_used @ false)) if code == received.field("Code") => {
                *is_used = true;
                resource(200, received, "approved")
            }
            Some((_, false)) => resource(200, received, "pending"),
            _ => error(404, 20_404, "The requested resource was not found"),
        }
    }
}

fn resource(answered: u16, received: &Received, status: &str) -> Said {
    let resource = json!({
        "sid": format!("VE{:032x}", received.id),
        "service_sid": VERIFY_SID,
        "account_sid": ACCOUNT_SID,
        "to": received.about.number,
        "channel": received.form.get("Channel").map_or("sms", String::as_str),
        "status": status,
        "valid": status == "approved",
    });
    Said::json(answered, &resource)
}

/// The code that a call reads out, if any: digits with only full stops, commas and spaces between them.
pub fn spoken_code(twiml: &str) -> Option<String> {
    let texts = twiml.split('>').filter_map(|piece| piece.split('<').next());
    let runs =
        texts.flat_map(|text| text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | ' '))));
    let mut digits = runs.map(|run| run.chars().filter(char::is_ascii_digit).collect::<String>());
    digits.find(|run| run.len() >= 4)
}

/// A request from Twilio to the server.
#[derive(Debug, Clone)]
pub struct Report {
    url: String,
    form: String,
    /// Of the account that signs it.
    token: &'static str,
}

impl Report {
    /// A report about this message or call, with Twilio's signature.
    pub fn about(received: &Received, status: &str) -> Self {
        let sid = sid_of(received);
        let own: &[(&str, &str)] = if sid.starts_with("CA") {
            &[("CallSid", &sid), ("CallStatus", status)]
        } else {
            &[("MessageSid", &sid), ("MessageStatus", status), ("SmsSid", &sid), ("SmsStatus", status)]
        };
        let url = received.field("StatusCallback");
        assert!(!url.is_empty(), "the message must say where reports go");
        Self::to(url, received, own)
    }

    /// The report of a pressed key in this call, which Twilio posts to `url`.
    pub fn key_pressed(call: &Received, url: &str) -> Self {
        Self::to(url, call, &[("CallSid", &sid_of(call)), ("CallStatus", "in-progress"), ("Digits", "1")])
    }

    /// A report with these fields and those of every report.
    fn to(url: &str, about: &Received, own: &[(&str, &str)]) -> Self {
        let common = [
            ("To", about.field("To")),
            ("From", about.field("From")),
            ("AccountSid", ACCOUNT_SID),
            ("ApiVersion", "2010-04-01"),
        ];
        let form = Serializer::new(String::new()).extend_pairs(own).extend_pairs(common).finish();
        Self { url: url.to_owned(), form, token: AUTH_TOKEN }
    }

    pub fn signed_with(self, token: &'static str) -> Self {
        Self { token, ..self }
    }

    pub async fn send(&self, server: &Client) -> HttpResponse {
        let path = self.url.strip_prefix(PUBLIC_URL).expect("reports go to the public address");
        let signature = twilio_signature(self.token, &self.url, &self.form);
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-twilio-signature", signature.as_str()),
        ];
        server.post_with(path, &headers, self.form.clone()).await
    }
}
