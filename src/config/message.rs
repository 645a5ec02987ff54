//! Texts of messages: what they may contain, and how long they may become.

use schemars::{Schema, json_schema};

use super::value::Setting;
use crate::template::{CODE_PLACES, LONGEST};

/// The text of a message, before it is checked.
#[derive(Debug)]
pub struct MessageText(pub String);

impl Setting for MessageText {
    fn read(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "a text that contains {code}".to_owned()
    }

    fn placeholder() -> Self {
        Self(CODE_PLACES[0].to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "\\{code\\}|_CODE_", "maxLength": LONGEST })
    }
}
