//! The kinds of values that Twilio's variables have.

use schemars::{Schema, json_schema};

use super::super::effective::NOT_SHOWN;
use super::super::value::Setting;
use crate::domain::PhoneNumber;

/// An id of an account or a service. Twilio's own begins with the letters `A` and `B`.
#[derive(Debug)]
pub struct Sid<const A: char, const B: char>(pub String);

impl<const A: char, const B: char> Sid<A, B> {
    /// Whether it looks as Twilio's ids of this kind do.
    pub fn is_twilios(&self) -> bool {
        let rest = self.0.strip_prefix(A).and_then(|rest| rest.strip_prefix(B));
        rest.is_some_and(is_32_hex)
    }
}

impl<const A: char, const B: char> Setting for Sid<A, B> {
    /// It becomes part of a URL, so it must not be able to change the path.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        fits.then(|| Self(text.to_owned()))
    }

    /// Ids are no secrets, but a token is easily pasted into the wrong variable.
    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        abridged(&self.0)
    }

    fn accepted() -> String {
        format!(
            "{A}{B} and 32 hexadecimal digits, as Twilio's console shows it (behind another TWILIO_BASE_URL at most \
             64 letters, digits, hyphens and underscores)"
        )
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

fn is_32_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The account's auth token. Has no `Debug`.
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Whether it looks as Twilio's tokens do today.
    pub fn is_twilios(&self) -> bool {
        is_32_hex(&self.0)
    }

    /// Whether it is what stands in an example: dots, stars, brackets and nothing else.
    pub fn is_blank(&self) -> bool {
        !self.0.bytes().any(|b| b.is_ascii_alphanumeric())
    }
}

impl Setting for Token {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        NOT_SHOWN.to_owned()
    }

    fn accepted() -> String {
        "a token of at most 256 printable ASCII characters without spaces".to_owned()
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Whom messages come from.
#[derive(Debug)]
pub struct SenderNumber(pub String);

impl SenderNumber {
    /// What [`Self::is_twilios`] takes, as the end of a sentence that begins with "it must be".
    pub const TWILIOS: &'static str = "a phone number such as +14155552671 that can exist, a short code of 3 to 8 \
         digits, or a name of at most 11 letters, digits, spaces, +, -, _ and &, one of them a letter";

    /// Whether Twilio could send from it: a number, a short code, or an alphanumeric sender id (the
    /// characters are those of Twilio's `AlphaSender` resource).
    pub fn is_twilios(&self) -> bool {
        let text = self.0.as_str();
        let short_code = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'+' | b'-' | b'_' | b'&');
        let name =
            text.len() <= 11 && text.bytes().all(of_name) && text.bytes().any(|b| b.is_ascii_alphabetic());
        short_code || name || PhoneNumber::parse(text, None).is_ok()
    }
}

impl Setting for SenderNumber {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits =
            (1..=40).contains(&text.len()) && !text.contains(':') && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    /// A number is masked, a name is shown as it is.
    fn shown(&self) -> String {
        PhoneNumber::parse(&self.0, None)
            .map_or_else(|_| format!("{:?}", self.0), |number| number.to_string())
    }

    fn accepted() -> String {
        "a phone number, a short code or an alphanumeric sender, without \"whatsapp:\" or another prefix"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Enough of an id to recognise it.
fn abridged(sid: &str) -> String {
    match (sid.get(..6), sid.get(sid.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if sid.len() > 16 => format!("{head}...{tail}"),
        _ => NOT_SHOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        for text in ["", "AC/../x", "AC?x", "AC x", "AC%2e", &"a".repeat(65)] {
            assert!(Sid::<'A', 'C'>::read(text).is_none(), "{text:?}");
        }
        assert_eq!(Sid::<'A', 'C'>::read(" AC12-3_4 ").map(|sid| sid.0).as_deref(), Some("AC12-3_4"));
    }

    #[test]
    fn an_id_of_twilios_has_its_two_letters_and_32_hexadecimal_digits() {
        let digits = "0123456789abcdef0123456789ABCDEF";
        for (text, own) in [
            (format!("AC{digits}"), true),
            (format!("MG{digits}"), false),
            (format!("AC{digits}0"), false),
            (format!("AC{}g", &digits[1..]), false),
            ("AC".to_owned(), false),
        ] {
            assert_eq!(Sid::<'A', 'C'>::read(&text).map(|sid| sid.is_twilios()), Some(own), "{text}");
        }
        assert!(Sid::<'M', 'G'>::accepted().starts_with("MG and 32 hexadecimal digits"));
    }

    #[test]
    fn what_twilio_can_send_from_is_a_number_a_short_code_or_a_name() {
        for (text, possible) in [
            ("+14155552671", true),
            ("+1 415 555 2671", true),
            ("123", true),
            ("12345678", true),
            ("Acme", true),
            ("Acme & Sons", true),
            ("A", true),
            ("+1", false),
            ("+1...", false),
            ("12", false),
            ("123456789", false),
            ("4155552671", false),
            ("Acme and Sons", false),
            ("Acme.com", false),
            ("...", false),
            ("&-_+", false),
            ("Ac\u{fc}me", false),
        ] {
            assert_eq!(SenderNumber::read(text).map(|sender| sender.is_twilios()), Some(possible), "{text}");
        }
    }

    #[test]
    fn a_sender_is_kept_as_it_is_but_shown_masked() {
        let sender = SenderNumber::read(" +1 415 555 2671 ").map(|sender| (sender.shown(), sender.0));
        assert_eq!(sender, Some(("+1415*****71".to_owned(), "+1 415 555 2671".to_owned())));
        assert_eq!(SenderNumber::read("Acme").map(|sender| sender.shown()).as_deref(), Some("\"Acme\""));
        assert!(SenderNumber::read("whatsapp:+14155552671").is_none());
    }
}
