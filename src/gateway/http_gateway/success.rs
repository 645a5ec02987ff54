//! How the description recognises success, checked and ready to use.

use serde_json::Value;

use super::problem;
use crate::gateway::wire::id_in;
use crate::gateway::{GatewaySettingsError, HttpSuccess};

/// The rule.
pub(super) struct SuccessRule {
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
pub(super) enum Outcome {
    Success,
    BadNumber,
    Retry,
    /// There is a value, and it is none of those that are known.
    Failure,
    /// Nothing is there, or it is not a value.
    Missing,
}

impl SuccessRule {
    pub(super) fn new(settings: &HttpSuccess) -> Result<Self, GatewaySettingsError> {
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
    pub(super) fn takes_status(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..=299).contains(&status) } else { self.statuses.contains(&status) }
    }

    /// Whether a body contains what it must.
    pub(super) fn takes_text(&self, body: &[u8]) -> bool {
        self.contains.as_ref().is_none_or(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    /// What the body says in the place that tells; `None` without such a place.
    pub(super) fn outcome(&self, body: Option<&Value>) -> Option<Outcome> {
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
    pub(super) fn message_id(&self, body: Option<&Value>) -> Option<String> {
        id_in(body?.pointer(self.message_id.as_ref()?)?)
    }

    /// Whether the body must be read as JSON at all.
    pub(super) fn reads_json(&self) -> bool {
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
