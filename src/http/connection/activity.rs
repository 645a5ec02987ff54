//! What a connection is doing, as far as its time limits need to know.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters that the socket and the requests write and the watch reads. All in one task, so
/// `Relaxed` is enough; they are atomic because requests must be `Send`.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    heard: AtomicBool,
    input_left: AtomicBool,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The peer owes us a request: none has come yet, or one has begun to arrive.
    Head,
    /// At least one request is being answered.
    Busy,
    /// Nothing to do.
    Idle,
}

impl Activity {
    /// A request has begun. Returns its number on this connection, from 1.
    pub fn begin(&self) -> u64 {
        self.heard.store(false, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A request has ended, answered or not.
    pub fn end(&self) {
        // What was heard meanwhile was its body.
        self.heard.store(false, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes have arrived.
    pub fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether bytes have arrived since a request last began or ended.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Notes that a request's body was not read to its end.
    pub fn leave_input(&self) {
        self.input_left.store(true, Ordering::Relaxed);
    }

    /// Whether a request's body was not read to its end.
    pub fn has_left_input(&self) -> bool {
        self.input_left.load(Ordering::Relaxed)
    }

    /// A number that changes whenever a request begins or ends.
    pub fn progress(&self) -> u64 {
        self.begun.load(Ordering::Relaxed) + self.ended.load(Ordering::Relaxed)
    }

    /// What the connection is doing.
    pub fn phase(&self) -> Phase {
        let begun = self.begun.load(Ordering::Relaxed);
        if begun != self.ended.load(Ordering::Relaxed) {
            Phase::Busy
        } else if begun == 0 || self.has_heard() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_owes_a_request() {
        assert_eq!(Activity::default().phase(), Phase::Head);
    }

    #[test]
    fn a_connection_is_busy_until_its_last_request_has_ended() {
        let activity = Activity::default();
        activity.hear();
        assert_eq!(activity.begin(), 1);
        assert_eq!(activity.begin(), 2);
        activity.end();
        assert_eq!(activity.phase(), Phase::Busy);
        activity.hear();
        activity.end();
        assert_eq!(activity.phase(), Phase::Idle);
    }

    #[test]
    fn a_connection_that_begins_to_ask_again_owes_the_rest() {
        let activity = Activity::default();
        activity.begin();
        activity.end();
        activity.hear();
        assert_eq!(activity.phase(), Phase::Head);
    }
}
