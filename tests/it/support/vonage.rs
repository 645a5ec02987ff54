//! A double of Vonage, whose recipe comes with the program.

use serde_json::{Value, json};

use super::PUBLIC_URL;
use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, basic, longest_digits};
use super::reply::Said;

pub const VONAGE_KEY: &str = "MA1";
pub const VONAGE_SECRET: &str = "v0nage-s3cret-of-the-te5ts";

pub type Vonage = Double<VonageApi>;

#[derive(Default)]
pub struct VonageApi;

/// The settings of a gateway at this address.
pub fn vonage(url: &str) -> Value {
    json!({ "recipe": "vonage", "from": "Acme", "key": VONAGE_KEY, "secret": VONAGE_SECRET, "url": url })
}

/// The address of a message's receipts: the path and the query.
pub fn callback_in(received: &Received) -> String {
    received.field("callback").strip_prefix(PUBLIC_URL).expect("an address for receipts").to_owned()
}

impl Provider for VonageApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        let is_authentic = received.header("authorization") == basic(VONAGE_KEY, VONAGE_SECRET);
        if !is_authentic || received.target != "POST /sms/json" {
            return Err(Said::text(401, "no message of this account"));
        }
        Ok(About { number: format!("+{}", received.field("to")), purpose: RequestPurpose::Send })
    }

    fn accept(&self, received: &Received) -> Said {
        let id = format!("m-{}", received.id);
        Said::json(200, &json!({"messages": [{"status": "0", "message-id": id}]}))
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        let words = format!("no message to {}", received.about.number);
        Said::json(status, &json!({"messages": [{"status": code.to_string(), "error-text": words}]}))
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        longest_digits(received.field("text"))
    }
}
