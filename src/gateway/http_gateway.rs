//! A gateway that is described in the configuration: how a request looks, and how its success is
//! recognised.

mod request;

use std::sync::Arc;

use reqwest::Request;
use serde_json::Value;

use self::request::RequestTemplate;
use super::classify::{Classification, OwnIds, classify_status, id_in, words_for_status};
use super::client::Answer;
use super::provider::{HttpProvider, Provider, not_tried};
use super::{
    Accepted, ErrorClass, GatewayError, GatewaySettingsError, HttpGatewaySettings, HttpSuccess,
    OutgoingMessage,
};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

const NAME: GatewayName = GatewayName::Http;

/// The URL's setting, as errors name it.
const URL_SETTING: &str = "http-gateway.url";

impl HttpGatewaySettings {
    /// The problems of the description, without where it comes from. Empty
    /// when [`HttpGateway::new`] takes it, as far as that depends on the description.
    pub fn problems(&self) -> Vec<GatewaySettingsError> {
        let request = RequestTemplate::new(self).map(drop);
        let success = SuccessRule::new(&self.success).map(drop);
        [request, success].into_iter().filter_map(Result::err).collect()
    }
}

/// The gateway.
pub type HttpGateway = HttpProvider<DescribedApi>;

/// An API as it is described, with what is the same for every message.
pub struct DescribedApi {
    request: RequestTemplate,
    success: SuccessRule,
    channels: Vec<Channel>,
    own_ids: OwnIds,
}

impl HttpGateway {
    /// Reads the description and prepares everything that is the same for every message. Sends
    /// nothing. The clock dates a refusal of the account, for readiness, and makes ids where the
    /// provider gives none.
    ///
    /// The error names the part of the description that cannot work: a placeholder that does not
    /// exist or has no value, a URL, method, header or JSON pointer that is none.
    pub fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let request = RequestTemplate::new(settings)?;
        let success = SuccessRule::new(&settings.success)?;
        if settings.channels.is_empty() {
            return Err(problem("http-gateway.channels", "must name a channel: sms, call or whatsapp"));
        }
        let address = request.address().clone();
        let own_ids = OwnIds::new(NAME, &*clock);
        let channels = settings.channels.clone();
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

    /// What the operator has said about values of the answer comes first, whatever the status: many
    /// providers put their errors into a 200, and some into a 500.
    fn classify(&self, answer: &Answer) -> Result<Accepted, GatewayError> {
        let rule = &self.success;
        let status = answer.status.as_u16();
        let body = answer.body.as_deref();
        let json: Option<Value> = if rule.reads_json() { answer.json() } else { None };
        let outcome = rule.outcome(json.as_ref());
        let failed = |class: ErrorClass, words: &str| {
            let detail = format!("answered HTTP {status}: {words}");
            Err(Classification::of_this_message(class).with_wait_of(answer).error(NAME, None, detail))
        };
        match outcome {
            Some(Outcome::BadNumber) => return failed(ErrorClass::BadNumber, "the number is not valid"),
            Some(Outcome::Retry) => {
                return failed(ErrorClass::Retry { after: None }, "it cannot be sent now");
            }
            _ => {}
        }
        let said_well = matches!(outcome, None | Some(Outcome::Success));
        // A body that was not read whole counts as one only where nothing is looked for in it.
        if rule.takes_status(status) && said_well && rule.takes_text(body.unwrap_or_default()) {
            let message_id = rule.message_id(json.as_ref()).unwrap_or_else(|| self.own_ids.next());
            return Ok(Accepted { message_id });
        }
        if outcome == Some(Outcome::Failure) && answer.status.is_success() {
            return failed(ErrorClass::Refused, "the value at success.json is not one that means success");
        }
        let classification = match classify_status(answer) {
            // Nothing here tells a limit of the account from that of one number, which strangers reach.
            limited @ Classification { class: ErrorClass::Retry { .. }, .. } => {
                Classification { whole_gateway: false, ..limited }
            }
            other => other,
        };
        Err(classification.error(NAME, None, words_for_status(answer, URL_SETTING)))
    }
}

/// How the description recognises success, checked and ready to use.
struct SuccessRule {
    statuses: Vec<u16>,
    contains: Option<String>,
    outcome: Option<OutcomeRule>,
    message_id: Option<String>,
}

/// A place in the answer and what its values mean.
struct OutcomeRule {
    pointer: String,
    equals: Vec<String>,
    bad_number: Vec<String>,
    retry: Vec<String>,
}

/// What the value at the place says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    BadNumber,
    Retry,
    /// There is a value, and it is none of those that are known.
    Failure,
    /// Nothing is there, or it is not a value.
    Missing,
}

impl SuccessRule {
    fn new(settings: &HttpSuccess) -> Result<Self, GatewaySettingsError> {
        let HttpSuccess { statuses, json, contains, message_id, bad_number, retry } = settings;
        if statuses.iter().any(|status| !(200..=599).contains(status)) {
            return Err(problem("http-gateway.success.statuses", "must be HTTP statuses from 200 to 599"));
        }
        if contains.as_ref().is_some_and(String::is_empty) {
            return Err(problem(
                "http-gateway.success.contains",
                "must not be empty: every body contains that",
            ));
        }
        if let Some(pointer) = message_id {
            check_pointer(pointer, "http-gateway.success.message_id")?;
        }
        let outcome = match json {
            Some((pointer, equals)) => {
                check_pointer(pointer, "http-gateway.success.json")?;
                if equals.is_empty() {
                    return Err(problem(
                        "http-gateway.success.equals",
                        "must list the values that mean success",
                    ));
                }
                Some(OutcomeRule {
                    pointer: pointer.clone(),
                    equals: equals.clone(),
                    bad_number: bad_number.clone(),
                    retry: retry.clone(),
                })
            }
            None => None,
        };
        let equals = json.as_ref().map_or(&[][..], |(_, equals)| equals);
        for (values, others, setting) in
            [(bad_number, [equals, retry], "bad_number"), (retry, [equals, bad_number], "retry")]
        {
            let setting = format!("http-gateway.success.{setting}");
            if !values.is_empty() && outcome.is_none() {
                return Err(problem(
                    setting,
                    "needs success.json, which says where in the answer its values are",
                ));
            }
            if others.iter().any(|others| values.iter().any(|value| others.contains(value))) {
                return Err(problem(setting, "has a value that another list of success has too"));
            }
        }
        Ok(Self {
            statuses: statuses.clone(),
            contains: contains.clone(),
            outcome,
            message_id: message_id.clone(),
        })
    }

    /// Whether an HTTP status is one of those that mean success.
    fn takes_status(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..=299).contains(&status) } else { self.statuses.contains(&status) }
    }

    /// Whether a body contains what it must.
    fn takes_text(&self, body: &[u8]) -> bool {
        self.contains.as_ref().is_none_or(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    /// What the body says in the place that tells; `None` without such a place.
    fn outcome(&self, body: Option<&Value>) -> Option<Outcome> {
        let rule = self.outcome.as_ref()?;
        let Some(value) = body.and_then(|body| as_text(body.pointer(&rule.pointer)?)) else {
            return Some(Outcome::Missing);
        };
        Some(if rule.equals.contains(&value) {
            Outcome::Success
        } else if rule.bad_number.contains(&value) {
            Outcome::BadNumber
        } else if rule.retry.contains(&value) {
            Outcome::Retry
        } else {
            Outcome::Failure
        })
    }

    /// The provider's id of the message, if it gives one that is usable.
    fn message_id(&self, body: Option<&Value>) -> Option<String> {
        id_in(body?.pointer(self.message_id.as_ref()?)?)
    }

    /// Whether the body must be read as JSON at all.
    fn reads_json(&self) -> bool {
        self.outcome.is_some() || self.message_id.is_some()
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
fn check_pointer(pointer: &str, setting: &str) -> Result<(), GatewaySettingsError> {
    let escapes_are_right = pointer.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    if escapes_are_right && (pointer.is_empty() || pointer.starts_with('/')) {
        return Ok(());
    }
    Err(problem(setting, "must be a JSON pointer (RFC 6901) such as /messages/0/status"))
}

fn problem(setting: impl Into<String>, problem: impl Into<String>) -> GatewaySettingsError {
    GatewaySettingsError::new(NAME, setting, problem)
}

#[cfg(test)]
mod tests;
