//! Why a body is not what its route reads: for the log, since all of them get the same answer.

use crate::domain::NumberError;

/// A reason. None of them can repeat what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// The connection or the chunked coding broke off.
    #[error("it broke off, or its chunks are not valid")]
    Broken,
    /// Some bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// No JSON, or something behind it.
    #[error("it is not JSON at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// JSON that ends too early, or nothing at all.
    #[error("it ends before the JSON does")]
    Unfinished,
    /// A field that must be there is not.
    #[error("the field {field} is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field is given twice, which is ambiguous.
    #[error("the field {field} is given twice")]
    Twice {
        /// The field's name.
        field: &'static str,
    },
    /// JSON of another type stands where a string or an object must be.
    #[error("it has something else at line {line}, column {column}, where {expected} must be")]
    OtherType {
        /// What is read there.
        expected: &'static str,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// The number is none.
    #[error("phoneNumber cannot be used: {0}")]
    Number(NumberError),
    /// The code is an empty string.
    #[error("the code is empty")]
    EmptyCode,
    /// No channel that there is.
    #[error("channel is none of sms, call and whatsapp")]
    Channel,
    /// One that no gateway here serves, or that is switched off.
    #[error("the channel {0} is not served here")]
    ChannelNotServed(&'static str),
    /// No language.
    #[error("locale is not a language tag such as de or pt-BR")]
    Locale,
    /// No hash of an Android app.
    #[error("appHash is not 11 characters of A-Z, a-z, 0-9, + and /")]
    AppHash,
    /// A report of a gateway that is signed, and yet not what its path reads.
    #[error("it is not a report of this kind")]
    Report,
}

/// The fields that are read, on all routes.
const FIELDS: [&str; 7] = ["phoneNumber", "user", "code", "smsCode", "channel", "locale", "appHash"];

/// What is read where a type matters.
const TYPES: [&str; 2] = ["a string", "a JSON object"];

impl From<serde_json::Error> for BadBody {
    /// The parser's words are searched for ours and never passed on: they repeat the input.
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;

        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => Self::Unfinished,
            Category::Syntax | Category::Io => Self::NotJson { line, column },
            Category::Data => {
                let words = error.to_string();
                let field_after = |beginning: &str| {
                    let rest = words.strip_prefix(beginning)?;
                    FIELDS.into_iter().find(|field| rest.starts_with(&format!("`{field}`")))
                };
                if let Some(field) = field_after("missing field ") {
                    return Self::Missing { field };
                }
                if let Some(field) = field_after("duplicate field ") {
                    return Self::Twice { field };
                }
                let rest = words.rsplit_once(", expected ").map_or("", |(_, rest)| rest);
                let expected = TYPES.into_iter().find(|name| rest.starts_with(name));
                Self::OtherType { expected: expected.unwrap_or("another type"), line, column }
            }
        }
    }
}
