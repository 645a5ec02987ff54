//! The time limits of a connection.
//!
//! A request that arrives in one piece costs no timer and no look at a clock. A timer is set
//! exactly where the peer can be late (a head that has begun to arrive); idleness is measured in
//! quarters of its limit, so an idle connection is closed after 1 to 1.25 times that limit; while
//! connections are scarce, after one or two quarters.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::Sleep;

use super::activity::{Activity, Phase};
use super::crowd::Crowd;
use crate::config::Bounds;

/// Slices that the idle limit is measured in.
const IDLE_SLICES: u32 = 4;

/// Time for the peer to take its last bytes (HTTP/1) or to acknowledge the end (HTTP/2) once the
/// connection is to close and nothing is being answered.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Watches over one connection.
pub struct Watch {
    timer: Pin<Box<Sleep>>,
    registered: bool,
    limit: Limit,
    head_limit: Duration,
    idle_slice: Duration,
    seen: u64,
    quiet_slices: u32,
    crowd: Arc<Crowd>,
}

/// What the timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Head,
    Idle,
    Close,
}

/// Which limit has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The request's head did not arrive in time.
    Head,
    /// There was nothing to do for too long.
    Idle,
    /// The peer does not take part in closing.
    Close,
}

impl Watch {
    /// Starts with the time for the first request's head.
    pub fn start(bounds: &Bounds, crowd: Arc<Crowd>) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(bounds.header_timeout)),
            registered: false,
            limit: Limit::Head,
            head_limit: bounds.header_timeout,
            idle_slice: bounds.idle_timeout / IDLE_SLICES,
            seen: 0,
            quiet_slices: 0,
            crowd,
        }
    }

    /// Whether [`Watch::close`] was called.
    pub fn is_closing(&self) -> bool {
        self.limit == Limit::Close
    }

    /// From now on the connection is to close.
    pub fn close(&mut self) {
        self.set(Limit::Close, CLOSE_GRACE);
    }

    /// Completes when the time for the first head is over.
    pub fn first_head(&mut self) -> Pin<&mut Sleep> {
        self.timer.as_mut()
    }

    /// Looks at what the connection does. Has to be called after each change; wakes the task when a
    /// limit passes.
    pub fn poll(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<Late> {
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
                Limit::Head => return Poll::Ready(Late::Head),
                Limit::Idle => {
                    if self.has_been_idle(activity) {
                        return Poll::Ready(Late::Idle);
                    }
                    self.set(Limit::Idle, self.idle_slice);
                }
                Limit::Close if activity.phase() == Phase::Busy => self.close(),
                Limit::Close => return Poll::Ready(Late::Close),
            }
        }
        Poll::Pending
    }

    fn set(&mut self, limit: Limit, time: Duration) {
        self.limit = limit;
        self.timer.set(tokio::time::sleep(time));
        self.registered = false;
    }

    /// Polls a timer once; then it has the task's waker, which does not change, and a look is
    /// enough.
    fn has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        if self.registered {
            return self.timer.is_elapsed();
        }
        self.registered = true;
        // Unconstrained, for a timer out of budget would be pending without keeping the waker.
        pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready()
    }

    fn has_been_idle(&mut self, activity: &Activity) -> bool {
        let progress = activity.progress();
        let quiet = progress == self.seen && activity.phase() != Phase::Busy;
        self.seen = progress;
        self.quiet_slices = if quiet { self.quiet_slices + 1 } else { 0 };
        self.quiet_slices >= if self.crowd.is_there() { 1 } else { IDLE_SLICES }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const BOUNDS: (u64, u64) = (10, 80);

    #[tokio::test(start_paused = true)]
    async fn when_no_request_comes_the_head_is_late() {
        let (mut watch, activity) = watched();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!((late, after), (Late::Head, secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_later_head_stays_incomplete_it_is_late_after_its_own_limit() {
        let (mut watch, activity) = watched();
        activity.begin();
        activity.end();
        pending_for(&mut watch, &activity, secs(30)).await;
        activity.hear();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!((late, after), (Late::Head, secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_nothing_happens_the_connection_is_idle_after_its_limit() {
        let (mut watch, activity) = watched();
        activity.begin();
        activity.end();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!((late, after), (Late::Idle, secs(80)));
    }

    #[tokio::test(start_paused = true)]
    async fn while_connections_are_scarce_an_idle_one_is_let_go_after_a_quarter_of_its_limit() {
        let (mut watch, activity) = watched();
        watch.crowd.note(90, 100);
        activity.begin();
        activity.end();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!((late, after), (Late::Idle, secs(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn while_connections_are_scarce_one_in_use_is_kept() {
        let (mut watch, activity) = watched();
        watch.crowd.note(100, 100);
        for _ in 0..10 {
            activity.begin();
            activity.end();
            pending_for(&mut watch, &activity, secs(19)).await;
        }
        activity.begin();
        pending_for(&mut watch, &activity, secs(1000)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_requests_come_and_go_the_connection_is_not_idle() {
        let (mut watch, activity) = watched();
        for _ in 0..10 {
            activity.begin();
            activity.end();
            pending_for(&mut watch, &activity, secs(79)).await;
        }
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!(late, Late::Idle);
        assert!(after + secs(79) >= secs(80) && after + secs(79) <= secs(100), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_request_takes_long_the_connection_is_busy_and_idle_only_after_its_end() {
        let (mut watch, activity) = watched();
        activity.begin();
        pending_for(&mut watch, &activity, secs(1000)).await;
        activity.end();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!(late, Late::Idle);
        assert!(after >= secs(80) && after <= secs(100), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_closing_connection_is_busy_it_is_waited_for() {
        let (mut watch, activity) = watched();
        activity.begin();
        watch.close();
        assert!(watch.is_closing());
        pending_for(&mut watch, &activity, secs(100)).await;
        activity.end();
        let (late, after) = wait(&mut watch, &activity).await;
        assert_eq!(late, Late::Close);
        assert!(after <= CLOSE_GRACE, "{after:?}");
    }

    fn watched() -> (Watch, Activity) {
        let (head, idle) = BOUNDS;
        let bounds = Bounds { header_timeout: secs(head), idle_timeout: secs(idle), ..Bounds::default() };
        (Watch::start(&bounds, Arc::default()), Activity::default())
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Which limit passes next, and after how long.
    async fn wait(watch: &mut Watch, activity: &Activity) -> (Late, Duration) {
        let elapsed = tokio::time::sleep(Duration::ZERO);
        let start = elapsed.deadline();
        let late = poll_fn(|cx| watch.poll(cx, activity)).await;
        let end = tokio::time::sleep(Duration::ZERO).deadline();
        // Timers tick in milliseconds and may be one late.
        (late, secs((end - start + Duration::from_millis(500)).as_secs()))
    }

    async fn pending_for(watch: &mut Watch, activity: &Activity, time: Duration) {
        let late = tokio::time::timeout(time, poll_fn(|cx| watch.poll(cx, activity))).await;
        assert!(late.is_err(), "{late:?} within {time:?}");
    }
}
