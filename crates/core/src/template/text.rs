//! One text, cut where something is filled in, and the last line by which a browser knows the web site that a code is
//! for: `@example.com #123456` (WICG, "Origin-bound one-time codes delivered via SMS").

use std::time::Duration;

use super::templates::{AppHash, PieceKind, pieces};
use crate::domain::{Channel, CodeLength, minutes_up};

/// Where the code goes. The second spelling is that of the Go framework.
pub const CODE_PLACES: [&str; 2] = ["{code}", "_CODE_"];

/// The longest message that Twilio accepts, in characters.
pub const LONGEST: usize = 1_600;

#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Code,
    /// The minutes that the code lives.
    Minutes,
}

impl Text {
    /// Splits a text after inserting the brand. Anything that is not a placeholder stays as written. Also returns the first
    /// unknown placeholder, as the end of a sentence.
    pub(super) fn new(written: &str, brand: &str) -> (Self, Option<String>) {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut problem = None;
        let mut push = |literal: &mut String, part| {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(literal).into()));
            }
            parts.extend(part);
        };
        for (raw, kind) in pieces(written) {
            match kind {
                PieceKind::Text => {
                    for (index, between) in raw.split(CODE_PLACES[1]).enumerate() {
                        if index > 0 {
                            push(&mut literal, Some(Part::Code));
                        }
                        literal.push_str(between);
                    }
                }
                PieceKind::Single("code") => push(&mut literal, Some(Part::Code)),
                PieceKind::Single("minutes") => push(&mut literal, Some(Part::Minutes)),
                PieceKind::Single("brand") => literal.push_str(brand),
                PieceKind::DoubleBrace('}') | PieceKind::Stray('}') => literal.push_str(raw),
                _ => {
                    literal.push_str(raw);
                    problem.get_or_insert_with(|| {
                        format!(
                            "it contains {raw:?}, which nothing fills. A text may contain {{code}} (or _CODE_), \
                             {{brand}} and {{minutes}}; a text of templates also {{friendly_name}} and {{{{name}}}}"
                        )
                    });
                }
            }
        }
        push(&mut literal, None);
        (Self { parts }, problem)
    }

    /// The message with these `digits` as the code. A text message names the web site `domain` in its last line; an
    /// `app_hash` replaces that, because both must be the last line. For a call the digits are separated: `1. 2. 3.`
    pub(super) fn finish(
        &self,
        channel: Channel,
        app_hash: Option<&AppHash>,
        domain: Option<&str>,
        digits: &str,
        valid_for: Duration,
    ) -> String {
        let mut text = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Code if channel == Channel::Call => {
                    let spoken: Vec<_> = digits.chars().map(|digit| format!("{digit}.")).collect();
                    text.push_str(&spoken.join(" "));
                    // The text's own full stop ends the last digit.
                    let next = self.parts.get(index + 1);
                    if matches!(next, Some(Part::Literal(next)) if next.starts_with('.')) {
                        text.pop();
                    }
                }
                Part::Code => text.push_str(digits),
                Part::Minutes => text.push_str(&minutes_up(valid_for).to_string()),
            }
        }
        if channel == Channel::Sms {
            match (app_hash, domain) {
                (Some(hash), _) => text.extend(["\n", hash.as_str()]),
                (None, Some(domain)) => text.extend(["\n\n@", domain, " #", digits]),
                (None, None) => {}
            }
        }
        text
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub(super) brand: String,
    /// The web site that text messages name in their last line.
    pub(super) domain: Option<String>,
    /// The longest life of a code, for `{minutes}`.
    pub(super) life: Duration,
}

/// Reads a text: it has a place for the code, no placeholder that nothing fills, and is not too long once the longest code
/// is in it. The error says what to correct.
pub(super) fn check_text(written: &str, context: &Context) -> Result<Text, String> {
    let (text, problem) = Text::new(written, &context.brand);
    if let Some(words) = problem {
        return Err(words);
    }
    if !text.parts.contains(&Part::Code) {
        return Err("it must contain {code} (or _CODE_), the place where the code goes".to_owned());
    }
    let longest_code = "0".repeat(usize::from(CodeLength::MAX));
    let domain = context.domain.as_deref();
    let length = text.finish(Channel::Sms, None, domain, &longest_code, context.life).chars().count();
    if length > LONGEST {
        return Err(format!(
            "it has {length} characters once the brand and a code of {} digits are in it, and a message may have \
             at most {LONGEST}",
            CodeLength::MAX
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
