//! A gateway that is described in the configuration: how a request looks, and how its success is recognized.

mod request;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Request;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use self::request::RequestTemplate;
use super::client::GatewayResponse;
use super::provider::{
    Classification, HttpProvider, OwnIds, Provider, classify_status, id_in, not_tried, words_for_status,
};
use super::{Accepted, ErrorClass, GatewayError, GatewaySettingsError, OutgoingMessage};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};
use crate::setting::values::{Channels, Texts};
use crate::setting::{As, List, Text, Whole};

const NAME: GatewayName = GatewayName::Http;

const URL_SETTING: &str = "http-gateway.url";

/// A gateway that is described in the configuration. In URL, header values and body values these are replaced: `{to}`
/// (`+14155552671`), `{to_digits}` (without `+`), `{text}`, `{code}`, `{channel}`, `{validity_seconds}`,
/// `{username}`, `{password}`, `{token}`, and `{basic}`, which is `base64(username:password)`. A brace itself is
/// written twice: `{{` or `}}`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpGatewaySettings {
    /// GET, POST or PUT. Without it POST with a body, else GET.
    #[serde(with = "As::<Text>")]
    #[schemars(extend("enum" = ["GET", "POST", "PUT"]))]
    pub method: String,
    /// Where messages go; required. The host has no placeholders.
    // What is put in behind the host is percent-encoded.
    #[serde(with = "As::<Text>")]
    #[schemars(extend("pattern" = "^https?://", "writeOnly" = true))]
    pub url: String,
    /// Headers, with placeholders.
    // What is put in must be visible ASCII; therefore `{text}` cannot be. A `Content-Type` replaces the body's own.
    #[serde(deserialize_with = "fields")]
    #[schemars(with = "BTreeMap<String, Field>", extend("writeOnly" = true))]
    pub headers: Vec<(String, String)>,
    #[serde(flatten)]
    pub body: HttpBody,
    /// The conditions of an accepted message, which must all hold.
    #[schemars(extend("x-accepted" = "an object such as {\"statuses\": [200]}"))]
    pub success: HttpSuccess,
    /// Channels that the gateway serves: sms, call, whatsapp. Without it sms.
    #[serde(with = "As::<Channels>")]
    pub channels: Vec<Channel>,
    #[serde(skip)]
    pub username: Option<SecretString>,
    #[serde(skip)]
    pub password: Option<SecretString>,
    #[serde(skip)]
    pub token: Option<SecretString>,
}

/// The value of a header or of a field.
#[derive(Deserialize, JsonSchema)]
struct Field(#[serde(with = "As::<Text>")] String);

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let fields = BTreeMap::<String, Field>::deserialize(from)?;
    Ok(fields.into_iter().map(|(name, Field(value))| (name, value)).collect())
}

impl Serialize for HttpGatewaySettings {
    /// Shows method and place only: a query or a body may hold credentials.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let place = self.url.split(['?', '#']).next().unwrap_or_default();
        format!("{} {place}", self.method.to_ascii_uppercase()).trim().serialize(to)
    }
}

impl std::fmt::Debug for HttpGatewaySettings {
    /// Shows no values of URL, headers and body: a key may be written there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGatewaySettings")
            .field("method", &self.method)
            .field("success", &self.success)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub enum HttpBody {
    /// None, as with `GET`.
    #[default]
    Empty,
    /// A JSON value; placeholders are replaced in every string of it, though not in the names of members.
    Json(Value),
    Form(Vec<(String, String)>),
}

#[derive(Deserialize, JsonSchema)]
struct GivenBody {
    /// A JSON body, with placeholders. Not with `form`.
    #[schemars(extend("writeOnly" = true))]
    json: Option<Value>,
    /// Fields of a form, with placeholders. Not with `json`.
    #[schemars(with = "BTreeMap<String, Field>", extend("writeOnly" = true))]
    form: Option<BTreeMap<String, Field>>,
}

impl<'de> Deserialize<'de> for HttpBody {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match GivenBody::deserialize(from)? {
            GivenBody { json: Some(_), form: Some(_) } => {
                let why = "has \"json\" and \"form\", and a message has one body. Remove one of them";
                return Err(D::Error::custom(why));
            }
            GivenBody { json: Some(json), .. } => Self::Json(json),
            GivenBody { form: Some(form), .. } => {
                Self::Form(form.into_iter().map(|(name, Field(value))| (name, value)).collect())
            }
            GivenBody { .. } => Self::Empty,
        })
    }
}

impl JsonSchema for HttpBody {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HttpBody".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        GivenBody::json_schema(generator)
    }
}

/// The conditions of success. Every given condition must hold. A number or a truth value at the end of a
/// pointer is compared as JSON writes it: `0`, `true`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpSuccess {
    /// HTTP statuses that mean success. Without it any 2xx.
    #[serde(with = "As::<List<Whole<200, 599, u16>>>")]
    pub statuses: Vec<u16>,
    /// JSON pointer (RFC 6901) to a value in the answer.
    #[serde(with = "As::<Option<Text>>")]
    pub json: Option<String>,
    /// Values at `json` that mean success.
    #[serde(with = "As::<Texts>")]
    pub equals: Vec<String>,
    /// A text that the answer contains.
    #[serde(with = "As::<Option<Text>>")]
    pub contains: Option<String>,
    /// JSON pointer to the provider's id of the message.
    #[serde(with = "As::<Option<Text>>")]
    pub message_id: Option<String>,
    /// Values at `json` that mean that the number does not exist.
    #[serde(with = "As::<Texts>")]
    pub bad_number: Vec<String>,
    /// Values at `json` that mean that the same request may succeed later.
    #[serde(with = "As::<Texts>")]
    pub retry: Vec<String>,
}

impl HttpGatewaySettings {
    /// Puts in what is not given: the method, and the channel.
    pub fn complete(&mut self) {
        if self.method.is_empty() {
            self.method.push_str(if self.body == HttpBody::Empty { "GET" } else { "POST" });
        }
        self.method = self.method.trim().to_ascii_uppercase();
        if self.channels.is_empty() {
            self.channels = vec![Channel::Sms];
        }
        self.success.contains.take_if(|text| text.is_empty());
    }

    /// The problems of the description, without where it comes from. Empty when `HttpGateway::new` takes it, as far
    /// as that depends on the description.
    pub fn problems(&self) -> Vec<GatewaySettingsError> {
        let request = RequestTemplate::new(self).map(drop);
        let success = self.success.check();
        [request, success].into_iter().filter_map(Result::err).collect()
    }
}

pub type HttpGateway = HttpProvider<DescribedApi>;

pub struct DescribedApi {
    request: RequestTemplate,
    success: HttpSuccess,
    channels: Vec<Channel>,
    own_ids: OwnIds,
}

impl HttpGateway {
    /// The error names the part of the description that cannot work: a placeholder that does not exist
    /// or has no value, a URL, method, header or JSON pointer that is none.
    pub fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let request = RequestTemplate::new(settings)?;
        settings.success.check()?;
        if settings.channels.is_empty() {
            return Err(problem("http-gateway.channels", "must name a channel: sms, call or whatsapp"));
        }
        let address = request.address().clone();
        let own_ids = OwnIds::new(NAME, &*clock);
        let (channels, success) = (settings.channels.clone(), settings.success.clone());
        Self::of(DescribedApi { request, success, channels, own_ids }, &address, clock)
    }
}

impl Provider for DescribedApi {
    const NAME: GatewayName = NAME;
    const URL_SETTING: &'static str = URL_SETTING;

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        self.request.filled_in(message).ok_or_else(|| {
            let detail = "cannot be asked: this message does not fit into the URL of http-gateway";
            not_tried(NAME, detail.to_owned())
        })
    }

    /// The operator's rules for values of the answer come first, whatever the status: many providers put
    /// their errors into a 200, and some into a 500.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        let rule = &self.success;
        let status = response.status.as_u16();
        let body = response.body.as_deref();
        let json: Option<Value> = if rule.reads_json() { response.json() } else { None };
        let outcome = rule.outcome(json.as_ref());
        let failed = |class: ErrorClass, words: &str| {
            let detail = format!("answered HTTP {status}: {words}");
            Err(Classification::of_this_message(class).with_wait_of(response).error(NAME, None, detail))
        };
        match outcome {
            Some(ResponseOutcome::BadNumber) => {
                return failed(ErrorClass::BadNumber, "the number is not valid");
            }
            Some(ResponseOutcome::Retry) => {
                return failed(ErrorClass::Retry { after: None }, "it cannot be sent now");
            }
            _ => {}
        }
        let said_well = matches!(outcome, None | Some(ResponseOutcome::Success));
        // A body that was not read whole counts as one only where nothing is looked for in it.
        if rule.takes_status(status) && said_well && rule.takes_text(body.unwrap_or_default()) {
            let message_id = rule.message_id_in(json.as_ref()).unwrap_or_else(|| self.own_ids.next());
            return Ok(Accepted { message_id });
        }
        if outcome == Some(ResponseOutcome::Failure) && response.status.is_success() {
            return failed(ErrorClass::Refused, "the value at success.json is not one that means success");
        }
        let classification = match classify_status(response) {
            // This answer does not distinguish a limit of the account from that of one number, which any caller can
            // reach.
            limited @ Classification { class: ErrorClass::Retry { .. }, .. } => {
                Classification { whole_gateway: false, ..limited }
            }
            other => other,
        };
        Err(classification.error(NAME, None, words_for_status(response, URL_SETTING)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseOutcome {
    Success,
    BadNumber,
    Retry,
    /// The value is present but unknown.
    Failure,
    /// The value is absent or not a scalar.
    Missing,
}

impl HttpSuccess {
    fn check(&self) -> Result<(), GatewaySettingsError> {
        let wrong = |name: &str, words: &str| Err(problem(format!("http-gateway.success.{name}"), words));
        if self.statuses.iter().any(|status| !(200..=599).contains(status)) {
            return wrong("statuses", "must be HTTP statuses from 200 to 599");
        }
        if self.contains.as_ref().is_some_and(String::is_empty) {
            return wrong("contains", "must not be empty: every body contains that");
        }
        for (name, pointer) in [("message_id", &self.message_id), ("json", &self.json)] {
            if pointer.as_ref().is_some_and(|pointer| !is_json_pointer(pointer)) {
                return wrong(name, "must be a JSON pointer (RFC 6901) such as /messages/0/status");
            }
        }
        match (&self.json, self.equals.as_slice()) {
            (Some(_), []) => return wrong("equals", "must list the values that mean success"),
            (None, [_, ..]) => {
                return wrong(
                    "equals",
                    "lists values at the place that \"json\" points to, and there is no \"json\"",
                );
            }
            _ => {}
        }
        let Self { equals, bad_number, retry, .. } = self;
        for (name, values, other) in [("bad_number", bad_number, retry), ("retry", retry, bad_number)] {
            if !values.is_empty() && self.json.is_none() {
                return wrong(name, "needs success.json, which says where in the answer its values are");
            }
            if values.iter().any(|value| equals.contains(value) || other.contains(value)) {
                return wrong(name, "has a value that another list of success has too");
            }
        }
        Ok(())
    }

    fn takes_status(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..=299).contains(&status) } else { self.statuses.contains(&status) }
    }

    fn takes_text(&self, body: &[u8]) -> bool {
        self.contains.as_ref().is_none_or(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    /// The value of the body's error field; `None` without such a field.
    fn outcome(&self, body: Option<&Value>) -> Option<ResponseOutcome> {
        let pointer = self.json.as_ref()?;
        let Some(value) = body.and_then(|body| as_text(body.pointer(pointer)?)) else {
            return Some(ResponseOutcome::Missing);
        };
        Some(if self.equals.contains(&value) {
            ResponseOutcome::Success
        } else if self.bad_number.contains(&value) {
            ResponseOutcome::BadNumber
        } else if self.retry.contains(&value) {
            ResponseOutcome::Retry
        } else {
            ResponseOutcome::Failure
        })
    }

    fn message_id_in(&self, body: Option<&Value>) -> Option<String> {
        id_in(body?.pointer(self.message_id.as_ref()?)?)
    }

    fn reads_json(&self) -> bool {
        self.json.is_some() || self.message_id.is_some()
    }
}

/// A value as the lists of the settings write it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 6901, 3: empty, or parts that each begin with `/`, with `~` only as `~0` and `~1`.
fn is_json_pointer(pointer: &str) -> bool {
    let escapes_are_right = pointer.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    escapes_are_right && (pointer.is_empty() || pointer.starts_with('/'))
}

fn problem(setting: impl Into<String>, problem: impl Into<String>) -> GatewaySettingsError {
    GatewaySettingsError::new(NAME, setting, problem)
}

#[cfg(test)]
mod tests;
