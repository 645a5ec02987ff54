//! The table of targets: the name of each and its corpus, and the function that takes an input.

mod support;

mod callbacks;
mod http;
mod ids;
mod journal;
mod numbers;
mod providers;
mod receipts;
mod records;
mod settings;
mod snapshot;
mod templates;
mod v2;

/// A target panics when a property does not hold.
pub type Target = fn(&[u8]);

pub const ALL: [(&str, Target); 21] = [
    ("numbers", numbers::numbers),
    ("locales", numbers::locales),
    ("routing", numbers::routing),
    ("codes", numbers::codes),
    ("states", records::states),
    ("logs", records::logs),
    ("frames", journal::frames),
    ("journal", journal::journal),
    ("snapshot", snapshot::snapshot),
    ("config_file", settings::config_file),
    ("dotenv", settings::dotenv),
    ("variables", settings::variables),
    ("templates", templates::templates),
    ("callbacks", callbacks::callbacks),
    ("receipts", receipts::receipts),
    ("providers", providers::providers),
    ("http_gateway", providers::http_gateway),
    ("requests", http::requests),
    ("connections", http::connections),
    ("sids", ids::sids),
    ("v2", v2::v2),
];

pub fn find(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
