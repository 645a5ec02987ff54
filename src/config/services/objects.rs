//! `services` and `templates` as they are given: objects by name, in config.json or as JSON in a variable.

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::config::kind::{
    Attempts, Digits, Flag, Kind, Lockout, ServiceLife, Span, Whole, WorkflowSends, object_of,
};
use crate::config::values::{LocaleTag, Workflow};
use crate::engine::{Policy, SendOptions, SendRules};

/// Services by their names, before they are read.
pub struct ServicesObject;

/// Templates by their names, before they are read.
pub struct TemplatesObject;

impl Kind for ServicesObject {
    type Value = Map<String, Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        object_of(value)
    }

    /// Their names.
    fn shown(members: &Self::Value) -> Value {
        names(members)
    }

    fn accepted() -> String {
        "an object of services by name, such as {\"shop\": {\"friendly-name\": \"Acme Shop\", \"code-length\": 6}}"
            .to_owned()
    }

    fn schema() -> Schema {
        let growing = json_schema!({ "const": "growing" });
        let test_number = json_schema!({
            "type": "object",
            "required": ["pattern", "code", "expires"],
            "properties": {
                "pattern": { "type": "string", "pattern": "^\\s*\\+[0-9xX]{7,15}\\s*$", "description": "A number in E.164 form; x stands for any digit." },
                "code": { "type": ["string", "integer"], "pattern": "^[0-9]{4,10}$", "description": "The code of these numbers." },
                "expires": { "type": "string", "description": "Until when they are test numbers (RFC 3339); at most a year ahead." },
                "force": { "anyOf": [Flag::schema()], "description": "Whether they may mean numbers that somebody could own." },
            },
        });
        let service = json_schema!({
            "type": "object",
            "properties": {
                "friendly-name": { "type": ["string", "number"], "maxLength": super::rules::NAME_LONGEST, "description": "What its messages call it. Without it, the service's name." },
                "code-length": { "anyOf": [Whole::<Digits>::schema()], "default": SendOptions::DEFAULT.length.get(), "description": "How many digits a code has." },
                "code-life": { "anyOf": [Span::<ServiceLife>::schema()], "default": "10m", "description": "How long a code can be used. A bare number is seconds." },
                "max-checks": { "anyOf": [Whole::<Attempts>::schema()], "default": Policy::DEFAULT_MAX_ATTEMPTS, "description": "Wrong codes of a verification, or with a fixed lockout of a number." },
                "max-sends": { "anyOf": [Whole::<WorkflowSends>::schema()], "default": SendRules::DEFAULT_MAX, "description": "Messages of one verification." },
                "lockout": { "anyOf": [growing, Span::<Lockout>::schema()], "default": "growing", "description": "growing, or how long a number is locked. A bare number is minutes." },
                "resend": { "enum": ["keep", "new"], "default": "keep", "description": "Whether a further message has the same code or a new one." },
                "cooling-down": { "anyOf": [Flag::schema()], "default": false, "description": "Whether a further message has to wait: 30, 60, 120, then 300 s." },
                "locale": { "anyOf": [LocaleTag::schema()], "description": "Language where neither the request nor the country leads to one." },
                "workflow": { "anyOf": [Workflow::schema()], "description": "Channels that are tried one after another, as the key workflow." },
                "custom-code": { "anyOf": [Flag::schema()], "default": false, "description": "Whether a request may bring its own code." },
                "do-not-share-warning": { "anyOf": [Flag::schema()], "default": false, "description": "Whether text messages warn that the code is not to be shared." },
                "default-template": { "type": "string", "description": "Name of the template where a request names none." },
                "test-numbers": { "type": "array", "maxItems": super::rules::TEST_NUMBERS_MOST, "items": test_number, "description": "Numbers that are never sent anything, with a known code." },
            },
        });
        // Test numbers have codes.
        json_schema!({
            "type": "object",
            "writeOnly": true,
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": service,
        })
    }
}

impl Kind for TemplatesObject {
    type Value = Map<String, Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        object_of(value)
    }

    /// Their names.
    fn shown(members: &Self::Value) -> Value {
        names(members)
    }

    fn accepted() -> String {
        "an object of templates by name, such as {\"login\": {\"translations\": {\"en\": \"{code} opens {friendly_name}\"}}}"
            .to_owned()
    }

    fn schema() -> Schema {
        let channel = json_schema!({ "type": "string", "enum": ["sms", "call", "whatsapp"] });
        let template = json_schema!({
            "type": "object",
            "required": ["translations"],
            "properties": {
                "friendly-name": { "type": ["string", "number"], "description": "What people call it. Without it, the template's name." },
                "channels": { "anyOf": [channel, { "type": "array", "items": channel, "minItems": 1 }], "description": "Channels that it is for; text messages unless said otherwise." },
                "translations": { "type": "object", "minProperties": 1, "additionalProperties": { "type": "string", "maxLength": crate::template::LONGEST }, "description": "Its text in each language. {code} is the code, {friendly_name} the service, {{name}} a place of its own." },
                "default-locale": { "anyOf": [LocaleTag::schema()], "description": "Language where no other fits; needed where there are several." },
            },
        });
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": template,
        })
    }
}

fn names(members: &Map<String, Value>) -> Value {
    json!(members.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}
