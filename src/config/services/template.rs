//! The places of a template's text.

use crate::template::placeholder::{PieceKind, pieces};

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// As it is written. May have the places of every text, such as `{minutes}`.
    Text(&'a str),
    /// `{code}` or `{{code}}`.
    Code,
    /// `{friendly_name}` or `{{friendly_name}}`.
    FriendlyName,
    /// `{{name}}`: filled in by the request.
    Own(&'a str),
}

/// The templates that are always there: name, what people call it, text.
pub const BUILT_IN_TEMPLATES: [(&str, &str, &str); 2] = [
    ("onceward-plain", "Plain", "Your {friendly_name} verification code is: {code}"),
    (
        "onceward-minutes",
        "With its time",
        "{code} is your {friendly_name} code. It works once, within {minutes} minutes.",
    ),
];

const CODE: &str = "code";
const FRIENDLY_NAME: &str = "friendly_name";

/// Cuts a text. What is no place of a template stays in the text around it.
pub fn places(text: &str) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    let (mut from, mut at) = (0, 0);
    for piece in pieces(text) {
        let end = at + piece.raw.len();
        let place = match piece.kind {
            PieceKind::Single(CODE) | PieceKind::Double(CODE) => Some(Place::Code),
            PieceKind::Single(FRIENDLY_NAME) | PieceKind::Double(FRIENDLY_NAME) => Some(Place::FriendlyName),
            PieceKind::Double(own) => Some(Place::Own(own)),
            _ => None,
        };
        if let Some(place) = place {
            places.extend((from < at).then(|| Place::Text(&text[from..at])));
            places.push(place);
            from = end;
        }
        at = end;
    }
    places.extend((from < at).then(|| Place::Text(&text[from..at])));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_place_are_found_and_others_stay_in_the_text() {
        assert_eq!(
            places("{{friendly_name}}: {code}, {{code}} {{who}} {minutes}"),
            [
                Place::FriendlyName,
                Place::Text(": "),
                Place::Code,
                Place::Text(", "),
                Place::Code,
                Place::Text(" "),
                Place::Own("who"),
                Place::Text(" {minutes}"),
            ]
        );
        for text in ["", "plain", "{", "{{", "{{a b}}", "{minutes}", "{{}}", "}}{"] {
            let whole = (!text.is_empty()).then_some(Place::Text(text));
            assert_eq!(places(text), whole.into_iter().collect::<Vec<_>>(), "{text}");
        }
    }
}
