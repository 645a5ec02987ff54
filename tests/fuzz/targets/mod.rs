//! The table of targets: the name of each and its corpus, and the function that takes an input.

mod support;

mod callbacks;
mod http;
mod numbers;
mod receipts;
mod v2;

/// A target panics when a property does not hold.
pub type Target = fn(&[u8]);

/// Gives the targets to a macro: the module and the name of each, which is also the name of its corpus.
macro_rules! with_targets {
    ($then:ident) => {
        $then! {
            numbers::numbers,
            numbers::locales,
            callbacks::callbacks,
            receipts::receipts,
            http::requests,
            http::connections,
            v2::v2,
        }
    };
}

macro_rules! table {
    ($($module:ident::$name:ident,)*) => {
        pub const ALL: &[(&str, Target)] = &[$((stringify!($name), $module::$name)),*];
    };
}

with_targets!(table);

pub fn find(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
