//! Doubles of gateways that settings describe: a plain SMS gateway, such as Mobica, that a recipe of the tests describes; and
//! providers that recipes describe, where the path says which of them is meant.

use serde_json::{Value, json};

use super::PUBLIC_URL;
use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, longest_digits};
use super::reply::Said;

pub const HTTP_TOKEN: &str = "pl4in-gateway-t0ken-of-the-te5ts";

/// It refuses with the code as text, in the member `status`.
pub type SmsGateway = Double<SmsGatewayApi>;

#[derive(Default)]
pub struct SmsGatewayApi;

impl SmsGateway {
    /// The recipe of the gateway `Http`. 8 means later, 11 means no such number.
    pub fn recipe(&self) -> Value {
        json!({
            "settings": {"token": {"about": "the token", "secret": true}},
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
        if received.header("authorization") != format!("Bearer {HTTP_TOKEN}") {
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
    if received.target != "POST /json" || !received.header("content-type").starts_with("application/json") {
        return None;
    }
    let body: Value = serde_json::from_slice(&received.body).ok()?;
    let message = &body["messages"][0];
    Some((message["to"].as_str()?.to_owned(), message["text"].as_str()?.to_owned()))
}

pub type RecipeDouble = Double<RecipeApi>;

#[derive(Default)]
pub struct RecipeApi;

/// The address of a message's receipts: the path and the query.
pub fn callback_in(received: &Received) -> String {
    let fields: String = received.form.values().flat_map(|value| [value.as_str(), "\""]).collect();
    let text = fields + &String::from_utf8_lossy(&received.body);
    let behind = text.split(PUBLIC_URL).nth(1).and_then(|behind| behind.split('"').next());
    behind.expect("an address for receipts").to_owned()
}

impl Provider for RecipeApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        let message = recipe_message_in(received).filter(|_| !received.header("authorization").is_empty());
        let (number, _) = message.ok_or_else(|| Said::text(401, "no recipe of the tests sends this"))?;
        Ok(About { number, purpose: RequestPurpose::Send })
    }

    fn accept(&self, received: &Received) -> Said {
        let id = format!("m-{}", received.id);
        let (status, body) = match received.target.as_str() {
            "POST /sms/json" => (200, json!({"messages": [{"status": "0", "message-id": id}]})),
            _ => (202, json!({"message_uuid": [id]})),
        };
        Said::json(status, &body)
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        recipe_message_in(received).and_then(|(_, text)| longest_digits(&text))
    }
}

/// The same of a request that a recipe describes.
fn recipe_message_in(received: &Received) -> Option<(String, String)> {
    let json: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let (to, text) = match received.target.as_str() {
        "POST /sms/json" => (received.field("to"), received.field("text")),
        "POST /v1/Account/MA1/Message/" => (json["dst"].as_str()?, json["text"].as_str()?),
        _ => return None,
    };
    Some((format!("+{}", to.trim_start_matches('+')), text.to_owned()))
}
