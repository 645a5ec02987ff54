//! A text, cut where something is filled in, so that a send only joins the pieces.

use std::fmt::Write as _;
use std::time::Duration;

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it is.
    Literal(Box<str>),
    /// The code.
    Code,
    /// The minutes that the code lives.
    Minutes,
}

/// What stands for what. The second spelling of the code is that of the Go framework.
const PLACEHOLDERS: [(&str, Placeholder); 4] = [
    (super::CODE_PLACES[0], Placeholder::Code),
    (super::CODE_PLACES[1], Placeholder::Code),
    ("{brand}", Placeholder::Brand),
    ("{minutes}", Placeholder::Minutes),
];

#[derive(Clone, Copy)]
enum Placeholder {
    Code,
    Brand,
    Minutes,
}

/// Cuts a text, with the brand put in. What is no placeholder stays as it is written; `between` is shown
/// the stretches between placeholders, to look for mistakes in them.
pub(super) fn cut<'a>(text: &'a str, brand: &str, mut between: impl FnMut(&'a str)) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let next = PLACEHOLDERS
            .iter()
            .filter_map(|(spelling, kind)| rest.find(spelling).map(|at| (at, spelling.len(), *kind)))
            .min_by_key(|(at, ..)| *at);
        let (at, length, kind) = next.unwrap_or((rest.len(), 0, Placeholder::Brand));
        between(&rest[..at]);
        literal.push_str(&rest[..at]);
        rest = &rest[at + length..];
        let piece = match kind {
            Placeholder::Code => Some(Piece::Code),
            Placeholder::Minutes => Some(Piece::Minutes),
            Placeholder::Brand => None,
        };
        if next.is_none() || piece.is_some() {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.extend(piece);
        } else {
            literal.push_str(brand);
        }
        if next.is_none() {
            return pieces;
        }
    }
}

/// How a code is put into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `123456`
    Whole,
    /// `1. 2. 3. 4. 5. 6.`: a voice then reads the digits one by one.
    Apart,
}

/// Joins the pieces. `digits` are those of the code.
pub(super) fn join(pieces: &[Piece], digits: &str, spelling: Spelling, valid_for: Duration) -> String {
    let length = |piece: &Piece| match piece {
        Piece::Literal(text) => text.len(),
        Piece::Code => digits.len() * if spelling == Spelling::Apart { 3 } else { 1 },
        Piece::Minutes => 2,
    };
    // A line for autofill may follow.
    let mut text = String::with_capacity(pieces.iter().map(length).sum::<usize>() + 40);
    for (index, piece) in pieces.iter().enumerate() {
        match (piece, spelling) {
            (Piece::Literal(literal), _) => text.push_str(literal),
            (Piece::Code, Spelling::Whole) => text.push_str(digits),
            (Piece::Code, Spelling::Apart) => {
                set_apart(&mut text, digits);
                // The text's own full stop ends the last digit.
                if matches!(pieces.get(index + 1), Some(Piece::Literal(next)) if next.starts_with('.')) {
                    text.pop();
                }
            }
            (Piece::Minutes, _) => {
                // Writing to a string cannot fail.
                let _ = write!(text, "{}", minutes(valid_for));
            }
        }
    }
    text
}

/// Whole minutes, rounded up and never 0.
pub(super) fn minutes(span: Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(60_000)).unwrap_or(u64::MAX).max(1)
}

fn set_apart(text: &mut String, digits: &str) {
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push(digit);
        text.push('.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(90);

    fn filled(template: &str, spelling: Spelling) -> String {
        join(&cut(template, "Acme", |_| {}), "012345", spelling, LIFE)
    }

    #[test]
    fn what_is_filled_in_goes_where_the_text_says() {
        for (template, text) in [
            ("OTP message is {code}", "OTP message is 012345"),
            ("OTP message is _CODE_", "OTP message is 012345"),
            ("{code}", "012345"),
            ("_CODE_ or {code}: {code}", "012345 or 012345: 012345"),
            ("数字 {code} für dich", "数字 012345 für dich"),
            ("{code", "{code"),
            ("{Code} _code_ {{code}}", "{Code} _code_ {012345}"),
            ("_CODE_CODE_", "012345CODE_"),
            ("{brand}: {code}, {minutes} min{brand}", "Acme: 012345, 2 minAcme"),
            ("{brand}{brand}", "AcmeAcme"),
            ("no place", "no place"),
            ("", ""),
        ] {
            assert_eq!(filled(template, Spelling::Whole), text, "{template:?}");
        }
    }

    #[test]
    fn for_a_voice_the_digits_are_set_apart() {
        let digits = "0. 1. 2. 3. 4. 5.";
        assert_eq!(filled("Your code is {code}", Spelling::Apart), format!("Your code is {digits}"));
        assert_eq!(
            filled("Code {code}. Again: {code}.", Spelling::Apart),
            format!("Code {digits} Again: {digits}")
        );
        assert_eq!(filled("{code}{code}!", Spelling::Apart), format!("{digits}{digits}!"));
    }

    #[test]
    fn a_brand_that_looks_like_a_placeholder_is_none() {
        let pieces = cut("{brand} {code}", "_CODE_ {minutes}", |_| {});
        assert_eq!(pieces, [Piece::Literal("_CODE_ {minutes} ".into()), Piece::Code]);
    }

    #[test]
    fn minutes_round_up_and_are_never_zero() {
        for (millis, expected) in [(0, 1), (1, 1), (60_000, 1), (60_001, 2), (600_000, 10)] {
            assert_eq!(minutes(Duration::from_millis(millis)), expected, "{millis} ms");
        }
    }
}
