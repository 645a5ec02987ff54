//! What a provider documents, as data, and a gateway that must do as it says. A case has
//!
//! * what it is `about`, `settings`, and of the message the `text`, the `channel`, the `locale`, the name of the `sender`
//!   and the `milliseconds_left`;
//! * `request`: its `target`, how its `headers` begin, `basic`, and its `json`, `form`, `body`, a `field`, or all
//!   `fields` in their order; `{attempt}` stands for the attempt, `{callback}` for the address of a recipe's receipts;
//! * `answers`: the `status`, `headers` and `body` of an answer, whether it is `cut`, what it is `about`, and the `id`
//!   that is taken from it, or the error's `class`, `code`, `detail` and `wait` in seconds, and whether it is about the
//!   `whole` gateway;
//! * `account`: the requests about the account with their answers, and what the examination `says` of them;
//! * `check`: the request about a code, and the `verdict` of each answer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::clock::ManualClock;
use crate::domain::{Channel, Locale, Timestamp};
use crate::double::{Double, Received, Reply, answer, message};
use crate::{Callback, Gateway, GatewayError, GatewaySettingsError, OutgoingMessage, ProviderSettings};

pub const PUBLIC_URL: &str = "https://otp.example.com";

/// Noon of 23 November 2026.
const NOW: u64 = 1_795_435_200_000;

pub struct Case {
    pub name: String,
    /// The settings of the gateway whose provider is at this address.
    pub settings: Box<dyn Fn(&str) -> ProviderSettings>,
    /// What no error shows.
    pub secrets: Vec<String>,
    pub documented: Value,
}

/// An answer as documented. One that is `cut` lacks its last byte.
pub fn reply(documented: &Value) -> Reply {
    let body = &documented["body"];
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let headers: Vec<_> = pairs(&documented["headers"]).collect();
    let status = documented["status"].as_u64().and_then(|status| status.try_into().ok());
    let mut bytes = answer(status.expect("a status"), &headers, &body);
    if documented["cut"] == true {
        bytes.pop();
        return Reply::BytesThenClose(bytes);
    }
    Reply::Bytes(bytes)
}

impl Case {
    pub async fn sends_its_request(&self) {
        let created = json!({ "status": 201, "body": { "sid": "SM01" } });
        let good = self.list("answers").next().unwrap_or(&created);
        let mut double = Double::playing([reply(good), reply(good)]).await;
        let gateway = self.gateway(&double);
        gateway.send(&self.message()).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let received = double.request().await;
        self.has(&received, &self.documented["request"]);
        self.has_credentials(&received);
        // Without a public address no report can arrive.
        let message = OutgoingMessage { callback: None, ..self.message() };
        gateway.send(&message).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(!double.request().await.body.contains("callbacks"), "{}", self.name);
    }

    pub async fn understands_its_answers(&self) {
        for answer in self.list("answers") {
            let mut double = Double::playing([reply(answer)]).await;
            let sent = self.gateway(&double).send(&self.message()).await;
            assert_eq!(double.further_requests().len(), 1, "{}: asked once", self.name);
            self.means(answer, sent.map(|accepted| json!({ "id": accepted.message_id })));
        }
    }

    pub fn gateway(&self, double: &Double) -> Arc<dyn Gateway> {
        self.built(&double.base_url()).unwrap_or_else(|problem| panic!("{}: {problem}", self.name))
    }

    pub fn built(&self, url: &str) -> Result<Arc<dyn Gateway>, GatewaySettingsError> {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOW)));
        (self.settings)(url).build(clock)
    }

    pub fn list(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.documented[name].as_array().into_iter().flatten()
    }

    pub fn message(&self) -> OutgoingMessage {
        let member = |name: &str| self.documented[name].as_str();
        let message = message(member("text").unwrap_or("Your code is 012345"));
        let channel = self.documented.get("channel").map(|it| Channel::deserialize(it).expect("a channel"));
        let left = self.documented["milliseconds_left"].as_u64().map(Duration::from_millis);
        OutgoingMessage {
            callback: Some(Callback { public_url: PUBLIC_URL.into(), attempt: message.attempt }),
            channel: channel.unwrap_or(message.channel),
            locale: member("locale").and_then(Locale::parse),
            sender_name: member("sender").map(Box::from),
            valid_for: left.unwrap_or(message.valid_for),
            ..message
        }
    }

    /// Asserts that an answer about a code is understood, and returns the request.
    pub async fn checks(&self, channel: Channel, answer: &Value) -> Received {
        let mut double = Double::playing([reply(answer)]).await;
        let message = self.message();
        let checked = self.gateway(&double).check(message.to, channel, &message.code).await;
        self.means(answer, checked.map(|verdict| json!({ "verdict": format!("{verdict:?}") })));
        double.request().await
    }

    /// Asserts that the account is asked about as documented, and says what is found.
    pub async fn examines_its_account(&self) {
        let Some(documented) = self.documented.get("account") else { return };
        let refused = Reply::json(401, "");
        let mut double = Double::playing([reply(documented), refused]).await;
        let gateway = self.gateway(&double);
        let found = gateway.examine_account().await.expect("a question");
        let asked = double.request().await;
        self.has(&asked, &json!({ "target": documented["target"] }));
        self.has_credentials(&asked);
        let said = found.state.err().map_or_else(|| "right".to_owned(), |error| error.to_string());
        assert!(said.contains(text(&documented["says"])), "{}: {said}", self.name);
        assert!(gateway.examine_account().await.expect("a question").state.is_err(), "{}", self.name);
    }

    /// Asserts that the gateway understood an answer as documented, and that no error says more than it may.
    fn means(&self, answer: &Value, result: Result<Value, GatewayError>) {
        let found = result.unwrap_or_else(|error| self.shown(&error));
        let context = format!("{}: {answer}: {found}", self.name);
        let about_the_answer = ["about", "status", "headers", "body", "cut"];
        for (name, value) in answer.as_object().expect("an answer") {
            assert!(about_the_answer.contains(&name.as_str()) || found[name] == *value, "{context}");
        }
        // What is not documented must be absent.
        assert_eq!([&found["class"], &found["whole"]], [&answer["class"], &answer["whole"]], "{context}");
    }

    fn shown(&self, error: &GatewayError) -> Value {
        assert_eq!(error.gateway, (self.settings)("").name(), "{}", self.name);
        let shown = format!("{error} {error:?}");
        for private in self.secrets.iter().map(String::as_str).chain(["4155552671", "012345"]) {
            assert!(!shown.contains(private), "{}: {shown}", self.name);
        }
        let (wait, whole) = (error.wait.map(|wait| wait.as_secs()), error.whole_gateway.then_some(true));
        let (class, detail) = (error.class.to_string(), &error.detail);
        json!({ "class": class, "code": error.code, "whole": whole, "wait": wait, "detail": detail })
    }

    /// Asserts that a request has what is documented.
    pub fn has(&self, received: &Received, documented: &Value) {
        let known =
            ["target", "headers", "basic", "json", "form", "body", "field", "fields", "answers", "bodies"];
        for name in documented.as_object().expect("a request").keys() {
            assert!(known.contains(&name.as_str()), "{}: a request has no {name}", self.name);
        }
        let target = format!("{} HTTP/1.1", text(&documented["target"]));
        assert_eq!(received.request_line, target, "{}", self.name);
        if let Some(body) = documented.get("body") {
            assert_eq!(received.body, text(body), "{}", self.name);
        }
        let form = received.form().into_iter().map(|(name, value)| (name, without_address(&value)));
        let fields: Vec<Value> = form.clone().map(|(name, value)| json!([name, value])).collect();
        if let Some(field) = documented.get("field") {
            assert!(fields.contains(field), "{}: {fields:?}", self.name);
        }
        let json: Value = serde_json::from_str(&without_address(&received.body)).unwrap_or_default();
        for (kind, found) in [("json", json), ("form", form.collect()), ("fields", fields.into())] {
            if let Some(documented) = documented.get(kind) {
                let expected: Value = serde_json::from_str(&filled(&documented.to_string())).expect("JSON");
                assert_eq!(found, expected, "{}", self.name);
            }
        }
    }

    pub fn has_credentials(&self, received: &Received) {
        let documented = &self.documented["request"];
        // A type and AWS's signature come only with a body.
        let is_of_all = |name: &str| name != "content-type" && !name.starts_with("x-amz");
        for (name, value) in pairs(&documented["headers"]) {
            if !received.body.is_empty() || is_of_all(name) {
                let headers = received.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
                let found: Vec<_> = headers.map(|(_, found)| found).collect();
                let is_one = matches!(found[..], [found] if found.starts_with(value));
                assert!(is_one, "{}: {name}: {found:?}", self.name);
            }
        }
        if let Some([user, password]) = documented["basic"].as_array().map(Vec::as_slice) {
            let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", text(user), text(password))));
            assert_eq!(received.header("authorization"), Some(expected.as_str()), "{}", self.name);
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub fn pairs(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), text(value)))
}

pub fn filled(text: &str) -> String {
    text.replace("{attempt}", &message("").attempt.to_string())
}

/// A text with `{callback}` in the place of an address of this server.
fn without_address(text: &str) -> String {
    let Some(at) = text.find(&format!("{PUBLIC_URL}/callbacks/gateways/acme?attempt=")) else {
        return text.to_owned();
    };
    let length = text[at..].find('"').unwrap_or(text.len() - at);
    let key = text[at..at + length].split_once("&key=").expect("a key").1;
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    text.replacen(&text[at..at + length], "{callback}", 1)
}
