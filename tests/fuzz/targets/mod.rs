//! The table of targets: the name of each and its corpus, and the function that takes an input.

mod http;
mod numbers;
mod receipts;

/// A target panics when a property does not hold.
pub type Target = fn(&[u8]);

pub const ALL: [(&str, Target); 5] = [
    ("numbers", numbers::numbers),
    ("locales", numbers::locales),
    ("receipts", receipts::receipts),
    ("requests", http::requests),
    ("connections", http::connections),
];

pub fn find(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// The first line, and the rest after it; without an end of line, everything is the rest.
fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or(("", text))
}
