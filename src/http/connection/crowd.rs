//! How many connections are open, as far as it changes what each of them may do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests that one HTTP/2 connection may have open.
const STREAMS: usize = 256;

/// With more connections than this shares out at 256 each, a new one gets fewer: a request whose answer is
/// not taken holds some 3.3 KiB until the connection is closed as idle.
const STREAMS_IN_ALL: usize = 64 * 1024;

/// Enough for a client that has many connections.
const STREAMS_AT_LEAST: usize = 16;

/// What the server sets and every connection reads.
#[derive(Debug, Default)]
pub struct Crowd {
    open: AtomicUsize,
    scarce: AtomicBool,
}

impl Crowd {
    /// Takes note of how many of `limit` connections are open: from seven eighths on they are scarce.
    pub fn note(&self, open: usize, limit: usize) {
        self.open.store(open, Ordering::Relaxed);
        self.scarce.store(open > limit - limit / 8, Ordering::Relaxed);
    }

    /// Whether connections are scarce. Then those that do nothing are let go sooner.
    pub fn is_there(&self) -> bool {
        self.scarce.load(Ordering::Relaxed)
    }

    /// Requests that a new HTTP/2 connection may have open.
    pub fn streams(&self) -> u32 {
        let share = STREAMS_IN_ALL / self.open.load(Ordering::Relaxed).max(1);
        u32::try_from(share.clamp(STREAMS_AT_LEAST, STREAMS)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_connections_are_open_the_fewer_streams_a_new_one_gets() {
        let crowd = Crowd::default();
        for (open, streams) in [(0, 256), (256, 256), (512, 128), (2_048, 32), (10_000, 16), (1_000_000, 16)]
        {
            crowd.note(open, 1_000_000);
            assert_eq!(crowd.streams(), streams, "{open}");
        }
    }

    #[test]
    fn connections_are_scarce_from_seven_eighths_on() {
        let crowd = Crowd::default();
        for (open, scarce) in [(0, false), (875, false), (876, true), (1_000, true), (10, false)] {
            crowd.note(open, 1_000);
            assert_eq!(crowd.is_there(), scarce, "{open}");
        }
    }
}
