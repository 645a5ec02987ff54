//! Values of services and templates: how a user writes one, what is accepted, and its schema.

use std::time::Duration;

use schemars::{Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::template::template_sid;
use crate::config::kind::{
    ACCEPTED, CodeLife as AnyLife, Digits, IN_REQUESTS, Kind, Lockout, Named, Range, ServiceLife, Span,
    Whole, WorkflowSends, kinds,
};
use crate::config::values::Workflow;
use crate::domain::{Channel, CodeLength, Sid, SidKind, Timestamp};

const TTS_NAME_LONGEST: usize = 64;

/// A text without control characters and braces.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f{}]*$";

/// The same with so few digits that they cannot be taken for a code.
const NAME: &str = r"^[^0-9\x00-\x1f\x7f-\x9f{}]*([0-9][^0-9\x00-\x1f\x7f-\x9f{}]*){0,4}$";

/// Channels, each perhaps with the seconds to wait for a receipt; empty for none.
const WORKFLOW: &str = "^((sms|call|whatsapp)(:[1-9][0-9]?s)?(,(sms|call|whatsapp)(:[1-9][0-9]?s)?){0,9})?$";

/// The member of a schema that marks times: a bare number of one is seconds in requests.
pub(super) const IS_TIME: &str = "x-time";

kinds! {
    /// A name in messages. Its content is checked with the service: the brand of the default service may be more.
    FriendlyName -> String {
        accepted: "a text",
        schema: {
            "type": ["string", "number"],
            "maxLength": NAME_LONGEST,
            IN_REQUESTS: { "type": "string", "maxLength": NAME_LONGEST, "pattern": NAME, "example": "Owl Bank" },
        },
        read: |text| Some(text.trim().to_owned()),
        shown: |name| json!(name),
    }

    /// The name of an alternative voice.
    TtsName -> String {
        accepted: format!(
            "a name of 1 to {TTS_NAME_LONGEST} characters on one line, without \"{{\", \"}}\" and \"_CODE_\", which mark \
             places in messages"
        ),
        schema: {
            "type": "string",
            "maxLength": TTS_NAME_LONGEST,
            IN_REQUESTS: { "type": "string", "maxLength": TTS_NAME_LONGEST, "pattern": LINE, "example": "Owl Bank" },
        },
        read: |text| short_name(text, TTS_NAME_LONGEST).ok(),
        shown: |name| json!(name),
    }

    SendCount -> u8 {
        accepted: Whole::<WorkflowSends>::accepted(),
        schema: { "anyOf": spellings::<Whole<WorkflowSends>>() },
        read: |text| Whole::<WorkflowSends>::read(text)?.try_into().ok(),
        shown: |count| json!(count),
    }

    CodeDigits -> CodeLength {
        accepted: Whole::<Digits>::accepted(),
        schema: { "anyOf": spellings::<Whole<Digits>>() },
        read: |text| CodeLength::new(Whole::<Digits>::read(text)?.try_into().ok()?),
        shown: |length| json!(length.get()),
    }

    /// How long a code can be used. The default service may have a life that others may not have.
    CodeLife -> Duration {
        accepted: Span::<ServiceLife>::accepted(),
        schema: {
            "anyOf": spellings::<Span<ServiceLife>>(),
            IS_TIME: true,
            IN_REQUESTS: {
                "type": "integer",
                "minimum": ServiceLife::MIN.as_secs(),
                "maximum": ServiceLife::MAX.as_secs(),
                "example": 600,
                ACCEPTED: seconds::<ServiceLife>(),
            },
        },
        read: |text| Span::<AnyLife>::read(text),
        shown: |life| json!(span_text(*life)),
    }

    LockoutKind -> LockoutRule {
        accepted: format!("\"growing\", or {}", Span::<Lockout>::accepted()),
        schema: {
            "anyOf": (lockout_spellings()),
            IS_TIME: true,
            IN_REQUESTS: {
                "type": "string",
                "pattern": "^(growing|[0-9]{1,7})?$",
                "example": GROWING,
                ACCEPTED: format!("\"growing\", or {}", seconds::<Lockout>()),
            },
        },
        read: |text| if text.trim().eq_ignore_ascii_case(GROWING) {
            Some(LockoutRule::Growing)
        } else {
            Span::<Lockout>::read(text).map(LockoutRule::Fixed)
        },
        shown: |rule| json!(match rule {
            LockoutRule::Growing => GROWING.to_owned(),
            LockoutRule::Fixed(span) => span_text(*span),
        }),
    }

    /// The id of a template. A user may write the template's name as well.
    TemplateId -> Sid {
        accepted: "the name or the id of a template",
        schema: {
            "type": "string",
            IN_REQUESTS: {
                "type": "string",
                "pattern": "^(HJ[0-9a-fA-F]{32})?$",
                "example": "HJ0123456789abcdef0123456789abcdef",
            },
        },
        read: |text| {
            let text = text.trim();
            let id = || Sid::parse(SidKind::Template, text).unwrap_or_else(|| template_sid(text));
            (!text.is_empty()).then(id)
        },
        shown: |sid| json!(sid.to_string()),
    }

    /// A moment, or a day: its beginning.
    Moment -> Timestamp {
        accepted: "a moment such as \"2027-01-31T12:00:00Z\" (RFC 3339, UTC), or a day such as \"2027-01-31\"",
        schema: { "type": "string" },
        read: |text| Timestamp::parse_day_or_moment(text.trim()),
        shown: |at| json!(at),
    }
}

/// Channels one after another, as the setting `workflow` spells them: `sms:20s,call:20s`.
pub(super) struct WorkflowText;

impl Kind for WorkflowText {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        Workflow::of(value).filter(|steps| !steps.is_empty()).map(|steps| Workflow::text(&steps))
    }

    fn shown(text: &String) -> Value {
        json!(text)
    }

    fn accepted() -> String {
        Workflow::accepted()
    }

    fn schema() -> Schema {
        let mut schema = Workflow::schema();
        let in_requests = json!({ "type": "string", "pattern": WORKFLOW, "example": "sms" });
        schema.insert(IN_REQUESTS.to_owned(), in_requests);
        schema
    }
}

/// One channel or a list of them.
pub(super) struct Channels;

impl Kind for Channels {
    type Value = Vec<Channel>;

    fn read(text: &str) -> Option<Vec<Channel>> {
        Channel::parse(text).map(|channel| vec![channel])
    }

    fn of(value: &Value) -> Option<Vec<Channel>> {
        let Value::Array(names) = value else { return Self::read(value.as_str()?) };
        let channels: Option<Vec<Channel>> =
            names.iter().map(|name| Channel::parse(name.as_str()?)).collect();
        let mut channels = channels.filter(|channels| !channels.is_empty())?;
        channels.sort_unstable_by_key(|channel| channel.as_str());
        channels.dedup();
        Some(channels)
    }

    fn shown(channels: &Vec<Channel>) -> Value {
        channels.iter().map(|channel| channel.as_str()).collect()
    }

    fn accepted() -> String {
        "one or more of \"sms\", \"call\" and \"whatsapp\"".to_owned()
    }

    fn schema() -> Schema {
        let channel = json_schema!({ "type": "string", "enum": ["sms", "call", "whatsapp"] });
        json_schema!({ "anyOf": [channel, { "type": "array", "items": channel, "minItems": 1 }] })
    }
}

/// The ways in which config.json may have a value of this kind, the proper type first.
fn spellings<K: Kind>() -> Vec<Value> {
    K::schema().get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn lockout_spellings() -> Vec<Value> {
    std::iter::once(json!({ "const": GROWING })).chain(spellings::<Span<Lockout>>()).collect()
}

fn span_text(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// What a request may give for a time.
fn seconds<R: Range<Of = Duration>>() -> String {
    format!("a number of seconds from {} to {} ({})", R::MIN.as_secs(), R::MAX.as_secs(), R::WHY)
}

/// The reason why a service that a user names cannot have this life of codes, as the end of a sentence.
pub(super) fn check_life(life: Duration) -> Result<(), String> {
    let [min, max] = [ServiceLife::MIN, ServiceLife::MAX].map(span_text);
    let why = || format!("must be a time from {min} to {max} ({})", ServiceLife::WHY);
    if ServiceLife::has(life) { Ok(()) } else { Err(why()) }
}

const GROWING: &str = "growing";

/// The consequence of too many wrong codes for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockoutRule {
    /// The number is locked for this long, for every client.
    Fixed(Duration),
    /// Checks without the verification's id have to wait, longer each time; checks with it do not.
    Growing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resend {
    /// It sends the same code, which ends when it would have.
    Keep,
    /// It sends a new code with a new life.
    New,
}

impl Named for Resend {
    const NAMES: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("new", Self::New)];
}

const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

/// A name for people: one line, not too long, with nothing in it that a text could take for a place of its own.
pub fn short_name(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    let characters = text.chars().count();
    if characters == 0 || characters > longest {
        return Err(format!("must have 1 to {longest} characters"));
    }
    one_line(text).map(|()| text.to_owned())
}

/// Text that becomes a part of messages.
pub fn one_line(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) || text.contains(['\u{2028}', '\u{2029}']) {
        return Err("must be one line, without control characters".to_owned());
    }
    if text.contains(['{', '}']) || text.contains("_CODE_") {
        return Err("must not contain \"{\", \"}\" or \"_CODE_\", which mark places in messages".to_owned());
    }
    Ok(())
}

/// The name of a service in messages.
pub fn friendly_name(text: &str) -> Result<String, String> {
    let name = short_name(text, NAME_LONGEST)?;
    if name.chars().filter(|c| c.is_numeric()).count() > NAME_DIGITS {
        return Err(format!("must not have more than {NAME_DIGITS} digits, which could be taken for a code"));
    }
    Ok(name)
}

/// Text for people that becomes no part of a message.
pub fn note(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {longest} characters, without control characters"));
    }
    Ok(text.to_owned())
}
