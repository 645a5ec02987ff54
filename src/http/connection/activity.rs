//! What a connection is doing, since when, and for how long it may.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Bounds;

/// The socket and the requests write it. The connection's task and the server read it; `Relaxed` is enough, because each
/// later look sees what one has missed.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Microseconds from the start to the first byte of the head that is due, or to the end of the last request.
    since: AtomicU64,
    has_new_bytes: AtomicBool,
    /// Whether a request's body was not read to its end.
    pub unread_body: AtomicBool,
    /// Requests whose bodies are due.
    bodies_due: AtomicU64,
}

/// A body that is due, until it is dropped.
pub struct BodyDue<'a>(&'a Activity);

impl Drop for BodyDue<'_> {
    fn drop(&mut self) {
        self.0.bodies_due.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose request is due for this long counts as silent, whether a part of the head has arrived or nothing. A
/// handshake of TLS is included.
const SILENCE: Duration = Duration::from_secs(1);

/// Why a connection may be closed for a new one. Silent ones go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivesWay {
    /// A request is due: the first one, or the rest of a head or a body.
    Silent,
    /// It has sent no request.
    Idle,
    /// A request is due for less than a second.
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request is due: the first one, or one whose head has begun to arrive.
    Head,
    /// The bodies of all requests that have begun are due.
    Body,
    /// At least one request is being answered.
    Busy,
    Idle,
}

impl Activity {
    /// The activity of a connection that begins now.
    #[expect(clippy::disallowed_methods, reason = "time limits are those of the runtime's timers")]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            since: AtomicU64::new(0),
            has_new_bytes: AtomicBool::new(false),
            unread_body: AtomicBool::new(false),
            bodies_due: AtomicU64::new(0),
        }
    }

    /// Notes that a request begins. Returns its number on this connection, from 1.
    pub fn begin(&self) -> u64 {
        self.has_new_bytes.store(false, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that a request has ended, answered or not.
    pub fn end(&self) {
        self.note_time();
        // The bytes that arrived meanwhile were its body.
        self.has_new_bytes.store(false, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that bytes have arrived. The time for the first head has begun before.
    pub fn note_input(&self) {
        if !self.has_new_bytes.swap(true, Ordering::Relaxed) && self.begun.load(Ordering::Relaxed) > 0 {
            self.note_time();
        }
    }

    /// Whether bytes have arrived since a request last began or ended.
    pub fn has_new_input(&self) -> bool {
        self.has_new_bytes.load(Ordering::Relaxed)
    }

    /// Notes that a request waits for the rest of its body.
    pub fn await_body(&self) -> BodyDue<'_> {
        self.note_time();
        self.bodies_due.fetch_add(1, Ordering::Relaxed);
        BodyDue(self)
    }

    /// How soon a connection gives way to a new one, and since when; `None` while it answers a request.
    pub fn gives_way(&self) -> Option<(GivesWay, Instant)> {
        let since = self.start + self.since();
        let how = match self.phase() {
            Phase::Busy => return None,
            Phase::Idle => GivesWay::Idle,
            Phase::Head | Phase::Body if since.elapsed() >= SILENCE => GivesWay::Silent,
            Phase::Head | Phase::Body => GivesWay::New,
        };
        Some((how, since))
    }

    pub fn is_busy(&self) -> bool {
        matches!(self.phase(), Phase::Body | Phase::Busy)
    }

    /// Whether a request is due.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase(), Phase::Head | Phase::Body)
    }

    /// Whether the head of a request is late.
    pub fn is_late(&self, bounds: &Bounds) -> bool {
        self.phase() == Phase::Head && self.time_left(bounds) == Some(Duration::ZERO)
    }

    /// The time until the connection is to end; `None` while a request is being answered.
    pub fn time_left(&self, bounds: &Bounds) -> Option<Duration> {
        let limit = match self.phase() {
            Phase::Body | Phase::Busy => return None,
            Phase::Head => bounds.header_timeout,
            Phase::Idle => bounds.idle_timeout,
        };
        Some((self.since() + limit).saturating_sub(self.start.elapsed()))
    }

    fn note_time(&self) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(micros, Ordering::Relaxed);
    }

    fn since(&self) -> Duration {
        Duration::from_micros(self.since.load(Ordering::Relaxed))
    }

    fn phase(&self) -> Phase {
        let begun = self.begun.load(Ordering::Relaxed);
        let open = begun.saturating_sub(self.ended.load(Ordering::Relaxed));
        if open > 0 && open == self.bodies_due.load(Ordering::Relaxed) {
            Phase::Body
        } else if open > 0 {
            Phase::Busy
        } else if begun == 0 || self.has_new_input() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_busy_until_its_last_request_has_ended() {
        let activity = Activity::start();
        assert_eq!(activity.phase(), Phase::Head, "the first request is due");
        activity.note_input();
        assert_eq!([activity.begin(), activity.begin()], [1, 2]);
        activity.end();
        assert_eq!((activity.phase(), activity.gives_way()), (Phase::Busy, None));
        activity.note_input();
        activity.end();
        assert_eq!(activity.gives_way(), Some((GivesWay::Idle, activity.start)));
        activity.note_input();
        assert_eq!(activity.phase(), Phase::Head, "the next request has begun to arrive");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_not_finished_within_a_second_is_as_good_as_none() {
        let activity = Activity::start();
        let start = activity.start;
        for _ in 0..2 {
            assert_eq!(activity.gives_way(), Some((GivesWay::New, start)));
            activity.note_input();
        }
        tokio::time::sleep(SILENCE).await;
        assert_eq!(activity.gives_way(), Some((GivesWay::Silent, start)), "the first head");
        activity.begin();
        activity.end();
        tokio::time::sleep(SILENCE).await;
        activity.note_input();
        assert_eq!(activity.gives_way(), Some((GivesWay::New, start + 2 * SILENCE)), "a later one");
        tokio::time::sleep(SILENCE).await;
        assert_eq!(activity.gives_way(), Some((GivesWay::Silent, start + 2 * SILENCE)));
    }
}
