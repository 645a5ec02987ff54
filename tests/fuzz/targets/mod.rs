//! The table of targets: the name of each and its corpus, and the function that takes an input.

mod support;

mod callbacks;
mod http;
mod numbers;
mod receipts;
mod v2;

/// A target panics when a property does not hold.
pub type Target = fn(&[u8]);

pub const ALL: [(&str, Target); 7] = [
    ("numbers", numbers::numbers),
    ("locales", numbers::locales),
    ("callbacks", callbacks::callbacks),
    ("receipts", receipts::receipts),
    ("requests", http::requests),
    ("connections", http::connections),
    ("v2", v2::v2),
];

pub fn find(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
