//! As many connections as the system's limit on open files leaves room for.
//!
//! Every connection is an open file, and so is every journal segment and every call to a gateway. Without this limit,
//! idle connections could use all open files and stop the store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Bounds;

/// Open files that are neither connections nor sends: the store, its checkpoints, the log, the runtime.
const RESERVE: u64 = 128;

/// Raises the limit as far as an ordinary user may, and returns the number of connections that it
/// leaves room for, at most [`Bounds::connections`].
pub fn connections(bounds: &Bounds) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let connections = fitting(bounds, files);
    if connections < bounds.connections {
        tracing::warn!(
            open_files = files,
            wanted = bounds.connections,
            connections,
            "the limit on open files allows fewer connections than max-connections; raise it (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}

/// `None` as the number of files means that there is no limit.
fn fitting(bounds: &Bounds, files: Option<u64>) -> usize {
    let Some(files) = files else { return bounds.connections };
    let sends = u64::try_from(bounds.sends).unwrap_or(u64::MAX);
    // Where files are so scarce, sends share them with connections half and half.
    let left = files.saturating_sub(RESERVE).saturating_sub(sends).max(files / 2);
    bounds.connections.min(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_store_and_the_gateway() {
        let bounds = Bounds { connections: 10_000, sends: 512, ..Bounds::default() };
        for (files, connections) in [
            (None, 10_000),
            (Some(1 << 20), 10_000),
            (Some(4_096), 3_456),
            (Some(1_024), 512),
            (Some(256), 128),
        ] {
            assert_eq!(fitting(&bounds, files), connections, "{files:?}");
        }
    }
}
