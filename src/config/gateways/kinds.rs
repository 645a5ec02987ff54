//! The kinds of values that variables of gateways have.

use schemars::{Schema, json_schema};

use super::super::effective::NOT_SHOWN;
use super::super::value::Setting;
use crate::domain::PhoneNumber;

/// The longest id, name or password that is plausible.
const LONGEST: usize = 256;

/// A password or secret. Has no `Debug`.
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

impl Setting for Password {
    fn read(text: &str) -> Option<Self> {
        is_line(text).then(|| Self(text.to_owned()))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        NOT_SHOWN.to_owned()
    }

    fn accepted() -> String {
        format!("a secret of 1 to {LONGEST} characters without line breaks")
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control)
}

/// The public half of a pair of key and secret.
#[derive(Debug)]
pub struct Identifier(pub String);

impl Setting for Identifier {
    /// HTTP Basic authentication (RFC 7617) puts a colon behind it.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits =
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        fits.then(|| Self(text.to_owned()))
    }

    /// The secret is easily pasted into the wrong variable.
    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        NOT_SHOWN.to_owned()
    }

    fn accepted() -> String {
        format!("an id of at most {LONGEST} printable ASCII characters without spaces and colons")
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// The name of an account.
#[derive(Debug)]
pub struct Login(pub String);

impl Setting for Login {
    /// HTTP Basic authentication (RFC 7617) puts a colon behind it.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        (is_line(text) && !text.contains(':')).then(|| Self(text.to_owned()))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        NOT_SHOWN.to_owned()
    }

    fn accepted() -> String {
        format!("a name of 1 to {LONGEST} characters without colons and line breaks")
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// Whom a message comes from: letters and digits.
#[derive(Debug)]
pub struct SourceName(pub String);

impl SourceName {
    /// The longest address that a short message can have (3GPP TS 23.040, 9.1.2.5: 11 characters of
    /// the default alphabet, 20 digits).
    const LONGEST: usize = 20;
}

impl Setting for SourceName {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=Self::LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        format!("a sender of 1 to {} characters, such as a name", Self::LONGEST)
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "minLength": 1, "maxLength": Self::LONGEST })
    }
}

/// A whole phone number of ours.
#[derive(Debug)]
pub struct OwnNumber(pub Option<PhoneNumber>);

impl Setting for OwnNumber {
    fn read(text: &str) -> Option<Self> {
        PhoneNumber::parse(text, None).ok().map(|number| Self(Some(number)))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        self.0.map(|number| number.to_string()).unwrap_or_default()
    }

    fn accepted() -> String {
        "a phone number with + and country code such as +14155552671, without \"whatsapp:\" or another prefix"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(None)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_have_spaces_but_no_line_break() {
        assert_eq!(Password::read("correct horse").map(|secret| secret.0).as_deref(), Some("correct horse"));
        for text in ["", " ", "a\nb", &"x".repeat(257)] {
            assert!(Password::read(text).is_none(), "{text:?}");
        }
        assert_eq!(format!("{:?}", Password("hunter2".to_owned())), "Password(***)");
    }

    #[test]
    fn a_colon_would_move_the_end_of_a_name() {
        assert!(Login::read("a:b").is_none() && Identifier::read("a:b").is_none());
        assert!(Login::read(" me and you ").is_some_and(|name| name.0 == "me and you"));
        assert!(Identifier::read("me and you").is_none());
    }

    #[test]
    fn a_sender_has_at_most_twenty_characters() {
        assert!(SourceName::read(&"x".repeat(20)).is_some());
        for text in ["", "a\tb", &"x".repeat(21)] {
            assert!(SourceName::read(text).is_none(), "{text:?}");
        }
    }
}
