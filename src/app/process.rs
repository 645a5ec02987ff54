//! What the process has to offer: its environment and its processors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::thread::available_parallelism;

/// How many threads can run at once.
pub fn parallelism() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// On how many threads requests are served: one processor is left to the journal, which writes all the time under load.
/// The fewer threads there are, the less time goes into waking them (`docs/decisions/0018-speed.md`).
pub fn serving_threads() -> usize {
    parallelism().saturating_sub(1).max(1)
}

/// The variables. One that is not Unicode keeps its name; its value then fits nothing and is refused.
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
