//! A double of a plain SMS gateway, such as Mobica, that the setting `http-gateway` describes.

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, longest_digits};
use super::reply::Said;

/// The expected bearer token.
pub const HTTP_TOKEN: &str = "pl4in-gateway-t0ken-of-the-te5ts";

/// It refuses with the code as text: at `/json` in the member `status`, at `/form` as a line.
pub type SmsGateway = Double<SmsGatewayApi>;

#[derive(Default)]
pub struct SmsGatewayApi;

impl SmsGateway {
    /// The setting `http-gateway` for the JSON variant. 8 means later, 11 means no such number.
    pub fn json_settings(&self) -> Value {
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

    /// The same for the variant with a form, which answers with a line of text.
    pub fn form_settings(&self) -> Value {
        let mut settings = self.get_settings();
        settings["method"] = "POST".into();
        settings["url"] = format!("{}/form", self.base_url()).into();
        settings["form"] = json!({"to": "{to_digits}", "text": "{text}"});
        settings
    }

    /// The same for the variant with everything in the URL.
    pub fn get_settings(&self) -> Value {
        json!({
            "method": "GET",
            "url": format!("{}/get?to={{to}}&text={{text}}", self.base_url()),
            "headers": {"Authorization": "Bearer {token}"},
            "success": {"statuses": [200], "contains": "OK"},
        })
    }

    pub fn texts_for(&self, number: &str) -> Vec<String> {
        self.received_for(number).iter().filter_map(message_in).map(|(_, text)| text).collect()
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
        if received.is_for("/json") {
            Said::json(200, &json!({"status": "ok", "id": format!("plain-{}", received.id)}))
        } else {
            Said::text(200, format!("OK plain-{}\n", received.id))
        }
    }

    fn refuse(&self, status: u16, code: u32, received: &Received) -> Said {
        if received.is_for("/json") {
            let words = format!("no message to {}", received.about.number);
            Said::json(status, &json!({"status": code.to_string(), "reason": words}))
        } else {
            Said::text(status, format!("ERROR {code} {}\n", received.about.number))
        }
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        message_in(received).and_then(|(_, text)| longest_digits(&text))
    }
}

/// A message's recipient and text.
fn message_in(received: &Received) -> Option<(String, String)> {
    match received.target.as_str() {
        "POST /json" if received.content_type.starts_with("application/json") => {
            let body: Value = serde_json::from_slice(&received.body).ok()?;
            let message = &body["messages"][0];
            Some((message["to"].as_str()?.to_owned(), message["text"].as_str()?.to_owned()))
        }
        "POST /form" => Some((format!("+{}", received.form.get("to")?), received.form.get("text")?.clone())),
        "GET /get" => {
            let fields: Vec<(String, String)> =
                url::form_urlencoded::parse(received.query.as_bytes()).into_owned().collect();
            let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.clone());
            Some((field("to")?, field("text")?))
        }
        _ => None,
    }
}
