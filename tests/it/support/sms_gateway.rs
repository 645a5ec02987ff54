//! A double of a plain SMS gateway, such as Mobica, that the setting `http-gateway` describes.

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, longest_digits};
use super::reply::Said;

pub const HTTP_TOKEN: &str = "pl4in-gateway-t0ken-of-the-te5ts";

/// It refuses with the code as text, in the member `status`.
pub type SmsGateway = Double<SmsGatewayApi>;

#[derive(Default)]
pub struct SmsGatewayApi;

impl SmsGateway {
    /// The setting `http-gateway`. 8 means later, 11 means no such number.
    pub fn settings(&self) -> Value {
        json!({
            "method": "POST",
            "url": format!("{}/json", self.base_url()),
            "headers": {"Authorization": "Bearer {token}"},
            "json": {"messages": [{"to": "{to}", "text": "{text}", "ttl": "{validity_seconds}"}]},
            "success": {
                "json": "/status", "equals": ["0", "ok"], "message_id": "/id",
                "bad_number": ["11"], "retry": ["8"]
            },
            "channels": ["sms"],
        })
    }
}

impl Provider for SmsGatewayApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        if received.authorization != format!("Bearer {HTTP_TOKEN}") {
            return Err(Said::text(401, "the token is wrong"));
        }
        let (number, _) =
            message_in(received).ok_or_else(|| Said::text(400, "there is no message in the request"))?;
        Ok(About { number, purpose: RequestPurpose::Send })
    }

    fn accept(&self, received: &Received) -> Said {
        Said::json(200, &json!({"status": "ok", "id": format!("plain-{}", received.id)}))
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        let words = format!("no message to {}", received.about.number);
        Said::json(status, &json!({"status": code.to_string(), "reason": words}))
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        message_in(received).and_then(|(_, text)| longest_digits(&text))
    }
}

/// A message's recipient and text.
fn message_in(received: &Received) -> Option<(String, String)> {
    if received.target != "POST /json" || !received.content_type.starts_with("application/json") {
        return None;
    }
    let body: Value = serde_json::from_slice(&received.body).ok()?;
    let message = &body["messages"][0];
    Some((message["to"].as_str()?.to_owned(), message["text"].as_str()?.to_owned()))
}
