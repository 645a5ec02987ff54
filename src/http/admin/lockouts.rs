//! The lockouts that the overview lists.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::clock::Stopwatch;
use crate::domain::Timestamp;
use crate::verification::{LockedNumber, Refusal, Verifier};

/// Lockouts that are kept: more than a page lists, which may be about one service or country.
const LOCKOUTS: usize = 10_000;

/// The last scan of all numbers for lockouts. The next one begins after twenty times the time that it took: scans take a
/// twentieth of a processor at most.
#[derive(Default)]
pub struct LockoutScan(Mutex<Option<Scanned>>);

/// Until when a scan is good, and its lockouts.
type Scanned = (Timestamp, Arc<Vec<LockedNumber>>);

impl LockoutScan {
    /// Those that end last come first.
    pub async fn read(&self, verifier: &Verifier, now: Timestamp) -> Result<Arc<Vec<LockedNumber>>, Refusal> {
        let mut last = self.0.lock().await;
        if let Some((_, lockouts)) = last.as_ref().filter(|(good_until, _)| now < *good_until) {
            return Ok(Arc::clone(lockouts));
        }
        let stopwatch = Stopwatch::start();
        let lockouts = Arc::new(verifier.lockouts(LOCKOUTS).await?);
        let good_until = verifier.now().plus(stopwatch.elapsed() * 20);
        *last = Some((good_until, Arc::clone(&lockouts)));
        Ok(lockouts)
    }

    /// Makes the next reader scan: a lockout has ended.
    pub async fn invalidate(&self) {
        *self.0.lock().await = None;
    }
}
