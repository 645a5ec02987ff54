//! Doubles of services beside Twilio: a challenge service, a receiver of webhooks and OpenTelemetry, and Vonage,
//! whose recipe comes with the program.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::{Value, json};
use sha2::Sha256;

use super::Setup;
use super::double::{About, Double, Provider, Received, Said, basic, longest_digits};

/// Of the challenge service.
const CAPTCHA_SECRET: &str = "0x4AAAchallenge-secret-of-the-te5ts";

/// The response of a person.
pub const PERSON: &str = "a-person";

/// Shows a box to tick. Refuses every other response than [`PERSON`], with or without the host of its page behind an `@`.
pub type Captcha = Double<SiteVerify>;

#[derive(Default)]
pub struct SiteVerify;

const SCRIPT: &str = r#"for (const place of document.querySelectorAll(".g-recaptcha")) {
  place.innerHTML = '<label><input type="checkbox" style="width: auto"> I am a person</label><input type="hidden" name="g-recaptcha-response">';
  place.querySelector("input").onchange = () => { place.querySelector("[type=hidden]").value = "a-person"; };
}"#;

impl Captcha {
    /// A server whose hosted page asks this service; always, or only if the guard refuses.
    pub fn required(&self, setup: Setup, always: bool) -> Setup {
        let [script, verify] = ["api.js", "siteverify"].map(|path| format!("{}/{path}", self.base_url()));
        let settings =
            json!({ "script": script, "verify-url": verify, "site-key": "site-key", "always": always });
        setup.config("captcha", settings).env("CAPTCHA_SECRET", CAPTCHA_SECRET)
    }
}

impl Provider for SiteVerify {
    fn accept(&self, received: &Received) -> Said {
        if received.target.starts_with("GET /api.js") {
            return Said::text(200, SCRIPT);
        }
        let error = match (received.field("secret"), received.field("response")) {
            (CAPTCHA_SECRET, PERSON) => return Said::json(200, &json!({ "success": true })),
            (CAPTCHA_SECRET, response) if let Some((PERSON, host)) = response.split_once('@') => {
                return Said::json(200, &json!({ "success": true, "hostname": host }));
            }
            (CAPTCHA_SECRET, _) => "invalid-input-response",
            _ => "invalid-input-secret",
        };
        Said::json(200, &json!({ "success": false, "error-codes": [error] }))
    }
}

/// Takes everything: webhooks, spans, and what a proxy passes on.
pub type Receiver = Double<ReceiverApi>;

#[derive(Default)]
pub struct ReceiverApi {
    read: AtomicUsize,
}

impl Provider for ReceiverApi {
    fn accept(&self, _: &Received) -> Said {
        Said::text(200, "")
    }
}

/// A span with ids in hexadecimal digits.
#[derive(Debug)]
pub struct RecordedSpan {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub nanos: std::ops::Range<u64>,
    pub attributes: BTreeMap<String, String>,
    pub has_failed: bool,
}

impl Receiver {
    pub fn exports(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.target == "POST /v1/traces").collect()
    }

    pub fn spans(&self) -> Vec<RecordedSpan> {
        let hex = base16ct::lower::encode_string;
        let read = |span: Span| RecordedSpan {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            kind: span.kind(),
            nanos: span.start_time_unix_nano..span.end_time_unix_nano,
            has_failed: span.status.is_some_and(|status| status.code == 2),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            name: span.name,
        };
        let exports = self.exports();
        let exports = exports.iter().map(|export| ExportTraceServiceRequest::decode(&*export.body));
        let scopes = exports.flat_map(|export| export.expect("OTLP").resource_spans);
        scopes.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).map(read).collect()
    }

    pub fn url(&self) -> String {
        format!("{}/events", self.base_url())
    }

    /// Returns the next event, after verifier its signature.
    pub async fn next(&self, secret: &str) -> Value {
        let index = self.provider().read.fetch_add(1, Ordering::Relaxed);
        self.arrived(index + 1).await;
        let event = self.received().swap_remove(index);
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let [id, at] = ["webhook-id", "webhook-timestamp"].map(|name| event.header(name));
        let signed = [format!("{id}.{at}.").as_bytes(), &event.body].concat();
        let right = format!("v1,{}", STANDARD.encode(mac(&key, signed)));
        assert_eq!(event.header("webhook-signature"), right);
        serde_json::from_slice(&event.body).expect("JSON")
    }
}

fn attribute(KeyValue { key, value, .. }: KeyValue) -> (String, String) {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => (key, text),
        Some(any_value::Value::IntValue(number)) => (key, number.to_string()),
        other => panic!("{key} = {other:?}"),
    }
}

/// HMAC-SHA256, as identity systems and webhooks sign with it.
pub fn mac(key: &[u8], signed: impl AsRef<[u8]>) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.chain_update(signed).finalize().into_bytes().to_vec()
}

pub const VONAGE_KEY: &str = "MA1";
pub const VONAGE_SECRET: &str = "v0nage-s3cret-of-the-te5ts";

pub type Vonage = Double<VonageApi>;

#[derive(Default)]
pub struct VonageApi;

/// The settings of a gateway at this address.
pub fn vonage(url: &str) -> Value {
    json!({ "recipe": "vonage", "from": "Acme", "key": VONAGE_KEY, "secret": VONAGE_SECRET, "url": url })
}

impl Provider for VonageApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        let is_authentic = received.header("authorization") == basic(VONAGE_KEY, VONAGE_SECRET);
        if !is_authentic || received.target != "POST /sms/json" {
            return Err(Said::text(401, "no message of this account"));
        }
        Ok(About::sending_to(&format!("+{}", received.field("to"))))
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
