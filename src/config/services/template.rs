//! The places of a template's text.

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
    let mut pieces = Vec::new();
    let mut literal = text;
    let mut from = 0;
    while let Some((at, length, place)) = next_place(literal, from) {
        if at > 0 {
            pieces.push(Place::Text(&literal[..at]));
        }
        pieces.push(place);
        literal = &literal[at + length..];
        from = 0;
    }
    if !literal.is_empty() {
        pieces.push(Place::Text(literal));
    }
    pieces
}

/// The first place at or behind `from`: where it begins, how long it is, which.
fn next_place(text: &str, mut from: usize) -> Option<(usize, usize, Place<'_>)> {
    loop {
        let at = from + text.get(from..)?.find('{')?;
        let rest = &text[at..];
        let double = rest.strip_prefix("{{").and_then(|inner| inner.split_once("}}"));
        if let Some((name, _)) = double.filter(|(name, _)| is_name(name)) {
            let place = match name {
                CODE => Place::Code,
                FRIENDLY_NAME => Place::FriendlyName,
                own => Place::Own(own),
            };
            return Some((at, name.len() + 4, place));
        }
        let single = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        match single.map(|(name, _)| name) {
            Some(CODE) => return Some((at, CODE.len() + 2, Place::Code)),
            Some(FRIENDLY_NAME) => return Some((at, FRIENDLY_NAME.len() + 2, Place::FriendlyName)),
            Some(_) | None => from = at + 1,
        }
    }
}

/// Letters, digits, `_` and `-`.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
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
