//! Helpers of several targets.

pub mod front_end;

/// The input as text. The code above these targets also passes only text.
pub fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// The first line, and the rest after it; without an end of line, everything is the rest.
pub fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or(("", text))
}
