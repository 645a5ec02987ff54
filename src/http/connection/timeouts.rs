//! The time limits of a connection.
//!
//! A request that arrives in one piece costs no timer and no look at a clock. A timer is set only where the client can
//! be late: in a head that has begun to arrive. Idleness is measured in quarters of its limit: an idle connection is
//! closed after 1 to 1.25 times that limit.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::Sleep;

use crate::config::Bounds;

const IDLE_SLICES: u32 = 4;

/// Time for the client to take its last bytes (HTTP/1) or to acknowledge the end (HTTP/2) once the connection is to
/// close and no request is being answered.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Counters that the socket and the requests write and [`Timeouts`] reads. The connection's task is woken after each
/// change that matters to it, which is why `Relaxed` is enough.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    has_new_bytes: AtomicBool,
    unread_body: AtomicBool,
    reading: AtomicBool,
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

    /// A number that changes whenever a request begins or ends.
    fn progress(&self) -> u64 {
        self.begun.load(Ordering::Relaxed) + self.ended.load(Ordering::Relaxed)
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

/// The timer of one connection.
pub struct Timeouts {
    timer: Pin<Box<Sleep>>,
    is_registered: bool,
    limit: Limit,
    head_limit: Duration,
    idle_slice: Duration,
    seen: u64,
    quiet_slices: u32,
}

/// The purpose of the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Head,
    Idle,
    Close,
}

/// The limit that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// The request's head did not arrive in time.
    Head,
    /// No request came for too long.
    Idle,
    /// The client does not take part in closing.
    Close,
}

impl Timeouts {
    /// Starts with the time for the first request's head.
    pub fn start(bounds: &Bounds) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(bounds.header_timeout)),
            is_registered: false,
            limit: Limit::Head,
            head_limit: bounds.header_timeout,
            idle_slice: bounds.idle_timeout / IDLE_SLICES,
            seen: 0,
            quiet_slices: 0,
        }
    }

    /// Whether [`Timeouts::close`] was called.
    pub fn is_closing(&self) -> bool {
        self.limit == Limit::Close
    }

    /// Makes the connection close.
    pub fn close(&mut self) {
        self.set(Limit::Close, CLOSE_GRACE);
    }

    /// Completes when the time for the first head is over.
    pub fn first_head(&mut self) -> Pin<&mut Sleep> {
        self.timer.as_mut()
    }

    /// Must be called after each change of `activity`. Wakes the task when a limit passes.
    pub fn poll(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<Expired> {
        match (self.limit, activity.phase()) {
            (Limit::Idle, Phase::Head) => self.set(Limit::Head, self.head_limit),
            (Limit::Head, Phase::Busy | Phase::Idle) => {
                (self.seen, self.quiet_slices) = (activity.progress(), 0);
                self.set(Limit::Idle, self.idle_slice);
            }
            (Limit::Head, Phase::Head) | (Limit::Idle, Phase::Busy | Phase::Idle) | (Limit::Close, _) => {}
        }
        while self.has_passed(cx) {
            match self.limit {
                Limit::Head => return Poll::Ready(Expired::Head),
                Limit::Idle => {
                    if self.has_been_idle(activity) {
                        return Poll::Ready(Expired::Idle);
                    }
                    self.set(Limit::Idle, self.idle_slice);
                }
                Limit::Close if activity.phase() == Phase::Busy => self.close(),
                Limit::Close => return Poll::Ready(Expired::Close),
            }
        }
        Poll::Pending
    }

    fn set(&mut self, limit: Limit, time: Duration) {
        self.limit = limit;
        self.timer.set(tokio::time::sleep(time));
        self.is_registered = false;
    }

    /// Polls a timer once: from then on it has the task's waker, which does not change, and a look is enough.
    fn has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_registered {
            return self.timer.is_elapsed();
        }
        self.is_registered = true;
        // Unconstrained, for a timer out of budget would be pending without keeping the waker.
        pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready()
    }

    fn has_been_idle(&mut self, activity: &Activity) -> bool {
        let progress = activity.progress();
        let is_quiet = progress == self.seen && activity.phase() != Phase::Busy;
        self.seen = progress;
        self.quiet_slices = if is_quiet { self.quiet_slices + 1 } else { 0 };
        self.quiet_slices >= IDLE_SLICES
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const BOUNDS: (u64, u64) = (10, 80);

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

    #[tokio::test(start_paused = true)]
    async fn when_no_request_comes_the_head_is_late() {
        let mut world = World::new();
        assert_eq!(world.expires().await, (Expired::Head, secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_later_head_stays_incomplete_it_is_late_after_its_own_limit() {
        let mut world = World::new();
        world.one_request();
        world.pending_for(secs(30)).await;
        world.activity.note_input();
        assert_eq!(world.expires().await, (Expired::Head, secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_nothing_happens_the_connection_is_idle_after_its_limit() {
        let mut world = World::new();
        world.one_request();
        assert_eq!(world.expires().await, (Expired::Idle, secs(80)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_requests_come_and_go_the_connection_is_not_idle() {
        let mut world = World::new();
        for _ in 0..10 {
            world.one_request();
            world.pending_for(secs(79)).await;
        }
        let (expired, after) = world.expires().await;
        assert_eq!(expired, Expired::Idle);
        assert!(after + secs(79) >= secs(80) && after + secs(79) <= secs(100), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_request_takes_long_the_connection_is_idle_only_after_its_end() {
        let mut world = World::new();
        world.activity.begin();
        world.pending_for(secs(1000)).await;
        world.activity.end(1);
        let (expired, after) = world.expires().await;
        assert_eq!(expired, Expired::Idle);
        assert!(after >= secs(80) && after <= secs(100), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_closing_connection_is_busy_it_is_waited_for() {
        let mut world = World::new();
        world.activity.begin();
        world.timeouts.close();
        assert!(world.timeouts.is_closing());
        world.pending_for(secs(100)).await;
        world.activity.end(1);
        let (expired, after) = world.expires().await;
        assert_eq!(expired, Expired::Close);
        assert!(after <= CLOSE_GRACE, "{after:?}");
    }

    struct World {
        timeouts: Timeouts,
        activity: Activity,
    }

    impl World {
        fn new() -> Self {
            let (head, idle) = BOUNDS;
            let bounds = Bounds { header_timeout: secs(head), idle_timeout: secs(idle), ..Bounds::default() };
            let (timeouts, activity) = (Timeouts::start(&bounds), Activity::default());
            Self { timeouts, activity }
        }

        fn one_request(&self) {
            self.activity.begin();
            self.activity.end(1);
        }

        async fn next(&mut self) -> Expired {
            poll_fn(|cx| self.timeouts.poll(cx, &self.activity)).await
        }

        /// The limit that passes next, and after how long.
        async fn expires(&mut self) -> (Expired, Duration) {
            let start = tokio::time::sleep(Duration::ZERO).deadline();
            let expired = self.next().await;
            let end = tokio::time::sleep(Duration::ZERO).deadline();
            // Timers tick in milliseconds and may be one late.
            (expired, secs((end - start + Duration::from_millis(500)).as_secs()))
        }

        async fn pending_for(&mut self, time: Duration) {
            let expired = tokio::time::timeout(time, self.next()).await;
            assert!(expired.is_err(), "{expired:?} within {time:?}");
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
