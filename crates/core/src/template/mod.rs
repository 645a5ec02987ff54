//! Texts of messages: which one, in which language, with what filled in.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod check;
mod gsm7;
mod templates;
#[cfg(test)]
mod tests;
mod text;

pub use check::{
    DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES, Finding, LocalText, REDIS_VERSION_MESSAGE,
    TemplateSettings,
};
pub use gsm7::{Alphabet, parts_of};
pub use templates::{
    AppHash, MessageStyle, PieceKind, Rendered, SendDigits, StandardMessage, Templates, Wording, of_country,
    pieces,
};
pub use text::{CODE_PLACES, LONGEST};
