//! An even load: when each request may leave.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::driver::now;

/// Moments at even distances, one for each request of all clients together.
pub struct Pace {
    /// `None`: every request leaves at once.
    distance: Option<Duration>,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many requests per second from `start` on.
    pub fn of(start: Instant, rate: Option<u32>) -> Self {
        Self { distance: rate.map(|rate| Duration::from_secs(1) / rate), next: Mutex::new(start) }
    }

    /// Waits for the next moment that nobody has. Those that have passed are lost: whoever made up for them would
    /// drive a server that was slow for a moment harder than before.
    pub async fn turn(&self) {
        let Some(distance) = self.distance else { return };
        let moment = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let moment = now().max(*next);
            *next = moment + distance;
            moment
        };
        tokio::time::sleep_until(moment.into()).await;
    }
}
