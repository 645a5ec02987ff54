//! What a connection is doing, and for how long it may.
//!
//! A request costs no timer and no look at a clock: the server looks at all connections at each tick. Every limit is
//! exceeded by one tick at most.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Bounds;

/// Counters that the socket and the requests write. The connection's task and the server's ticks read them; `Relaxed` is
/// enough, because each later tick sees what one has missed.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    has_new_bytes: AtomicBool,
    unread_body: AtomicBool,
    reading: AtomicBool,
    is_late: AtomicBool,
    /// The server's count of ended requests when one of this connection last ended; 0 before.
    last_use: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request is due: the first one, or one whose head has begun to arrive.
    Head,
    /// At least one request is being answered.
    Busy,
    Idle,
}

impl Activity {
    /// Notes that a request begins. Returns its number on this connection, from 1.
    pub fn begin(&self) -> u64 {
        self.has_new_bytes.store(false, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that a request has ended, answered or not: the `count`th of the server.
    pub fn end(&self, count: u64) {
        self.last_use.store(count, Ordering::Relaxed);
        self.reading.store(false, Ordering::Relaxed);
        // The bytes that arrived meanwhile were its body.
        self.has_new_bytes.store(false, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that bytes have arrived.
    pub fn note_input(&self) {
        self.has_new_bytes.store(true, Ordering::Relaxed);
    }

    /// Whether bytes have arrived since a request last began or ended.
    pub fn has_new_input(&self) -> bool {
        self.has_new_bytes.load(Ordering::Relaxed)
    }

    /// Notes that a request's body was not read to its end.
    pub fn note_unread_body(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    pub fn has_unread_body(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
    }

    /// Notes that the request in progress changes nothing. The connection may end as soon as the client has left.
    pub fn note_read_only(&self) {
        self.reading.store(true, Ordering::Relaxed);
    }

    pub fn is_read_only(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// When an idle connection was last used, as a number that grows with time; `None` for one that is not idle.
    pub fn idle_since(&self) -> Option<u64> {
        (self.phase() == Phase::Idle).then(|| self.last_use.load(Ordering::Relaxed))
    }

    pub fn is_busy(&self) -> bool {
        self.phase() == Phase::Busy
    }

    /// Whether the connection is to end because a head is late.
    pub fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed) && self.phase() == Phase::Head
    }

    fn phase(&self) -> Phase {
        let begun = self.begun.load(Ordering::Relaxed);
        if begun != self.ended.load(Ordering::Relaxed) {
            Phase::Busy
        } else if begun == 0 || self.has_new_input() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }
}

/// The time limits of connections, in ticks.
#[derive(Debug)]
pub struct Limits {
    pub tick: Duration,
    head: u64,
    idle: u64,
}

impl Limits {
    pub fn of(bounds: &Bounds) -> Self {
        let shortest = bounds.header_timeout.min(bounds.idle_timeout);
        let tick = (shortest / 8).clamp(Duration::from_millis(10), Duration::from_millis(250));
        let ticks =
            |limit: Duration| u64::try_from(limit.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u64::MAX);
        Self { tick, head: ticks(bounds.header_timeout), idle: ticks(bounds.idle_timeout) }
    }
}

/// What the ticks have seen of a connection.
#[derive(Debug)]
pub struct Watch {
    phase: Phase,
    requests: u64,
    /// The tick from which its time counts.
    since: u64,
}

impl Watch {
    /// Watches a connection that began after the tick `now`.
    pub const fn new(now: u64) -> Self {
        Self { phase: Phase::Head, requests: 0, since: now + 1 }
    }

    /// Looks at the connection. Returns `true` if it is to end: it is idle, or the head of a request is late.
    pub fn is_over(&mut self, now: u64, activity: &Activity, limits: &Limits) -> bool {
        let requests = activity.begun.load(Ordering::Relaxed) + activity.ended.load(Ordering::Relaxed);
        let phase = activity.phase();
        if (phase, requests) != (self.phase, self.requests) {
            *self = Self { phase, requests, since: now };
        }
        let ticks = now.saturating_sub(self.since);
        let is_late = phase == Phase::Head && ticks >= limits.head;
        activity.is_late.store(is_late, Ordering::Relaxed);
        is_late || phase == Phase::Idle && ticks >= limits.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_busy_until_its_last_request_has_ended() {
        let activity = Activity::default();
        assert_eq!(activity.phase(), Phase::Head, "the first request is due");
        activity.note_input();
        assert_eq!([activity.begin(), activity.begin()], [1, 2]);
        activity.end(7);
        assert_eq!((activity.phase(), activity.idle_since()), (Phase::Busy, None));
        activity.note_input();
        activity.end(9);
        assert_eq!((activity.phase(), activity.idle_since()), (Phase::Idle, Some(9)));
        activity.note_input();
        assert_eq!(activity.phase(), Phase::Head, "the next request has begun to arrive");
    }

    #[test]
    fn each_request_gives_a_connection_its_time_anew() {
        let (activity, mut world) = (Activity::default(), World::default());
        assert_eq!(world.ticks_left(&activity), Some(41), "the first head");
        for _ in 0..5 {
            activity.begin();
            assert_eq!(world.ticks_left(&activity), None, "it is being answered");
            activity.end(1);
            world.pass(319, &activity);
        }
        assert_eq!(world.ticks_left(&activity), Some(1), "it is idle");
        assert!(!activity.is_late());
        activity.note_input();
        assert_eq!(world.ticks_left(&activity), Some(41), "a later head, which the next tick sees");
        assert!(activity.is_late());
        activity.begin();
        assert!(!activity.is_late(), "the head has arrived after all");
    }

    #[test]
    fn short_limits_have_short_ticks() {
        let limits = |millis| {
            let limit = Duration::from_millis(millis);
            let bounds = Bounds { header_timeout: limit, idle_timeout: limit, ..Bounds::default() };
            let Limits { tick, head, idle } = Limits::of(&bounds);
            (tick.as_millis(), head, idle)
        };
        assert_eq!([limits(1), limits(300), limits(60_000)], [(10, 1, 1), (37, 8, 8), (250, 240, 240)]);
    }

    struct World {
        limits: Limits,
        watch: Watch,
        now: u64,
    }

    impl Default for World {
        /// Ten seconds for a head and eighty for an idle connection.
        fn default() -> Self {
            let secs = Duration::from_secs;
            let bounds = Bounds { header_timeout: secs(10), idle_timeout: secs(80), ..Bounds::default() };
            Self { limits: Limits::of(&bounds), watch: Watch::new(7), now: 7 }
        }
    }

    impl World {
        fn pass(&mut self, ticks: u64, activity: &Activity) {
            for _ in 0..=ticks {
                self.now += 1;
                assert!(!self.watch.is_over(self.now, activity, &self.limits));
            }
        }

        /// The ticks until the connection is to end.
        fn ticks_left(&mut self, activity: &Activity) -> Option<u64> {
            let start = self.now;
            (start + 1..start + 1_000)
                .find(|tick| {
                    self.now = *tick;
                    self.watch.is_over(*tick, activity, &self.limits)
                })
                .map(|tick| tick - start)
        }
    }
}
