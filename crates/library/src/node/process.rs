//! The limits of the process: its processors, its open files, its dumps and its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Bounds;

/// The number of threads that can run at once.
pub fn parallelism() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// On how many threads requests are served: one processor is left to the journal, which writes all the time under load.
/// The fewer threads there are, the less time goes into waking them (`docs/internals/performance.md`).
pub fn serving_threads() -> usize {
    parallelism().saturating_sub(1).max(1)
}

/// The variables. One that is not Unicode keeps its name; its value then fits nothing and is refused.
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Forbids core dumps for good: one would hold the server key and codes.
pub fn forbid_core_dumps() {
    // Every process may lower its limits.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Raises the limit on open files as far as an ordinary user may, and returns the number of connections that it allows,
/// at most [`Bounds::connections`].
///
/// Every connection is an open file, and so is every journal segment and every call to a gateway. Without this limit,
/// idle connections could use all open files and stop the store.
pub fn connections(bounds: &Bounds) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    // The store and the sends have the other half.
    let half = files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    let connections = bounds.connections.min(half);
    if connections < bounds.connections {
        tracing::warn!(
            open_files = files,
            wanted = bounds.connections,
            connections,
            "limit on open files below max-connections; raise it (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}
