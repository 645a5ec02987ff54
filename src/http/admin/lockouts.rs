//! The lockouts that the overview lists.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::clock::Stopwatch;
use crate::domain::Timestamp;
use crate::verification::numbers::{LockedNumber, Refusal};
use crate::verification::verify::Verifying;

/// Lockouts that are kept: more than a page lists, which may be about one service or country.
const LOCKOUTS: usize = 10_000;

/// The last scan of all numbers for lockouts. The next one begins after twenty times the time that it took: scans take a
/// twentieth of a processor at most.
#[derive(Default)]
pub struct LockoutScan(Mutex<Option<Scanned>>);

/// The lockouts that end last, and the number of all.
type Lockouts = Arc<(Vec<LockedNumber>, usize)>;

struct Scanned {
    good_until: Timestamp,
    lockouts: Lockouts,
}

impl LockoutScan {
    pub async fn read(&self, verifying: &Verifying, now: Timestamp) -> Result<Lockouts, Refusal> {
        let mut last = self.0.lock().await;
        if let Some(scanned) = last.as_ref().filter(|scanned| now < scanned.good_until) {
            return Ok(Arc::clone(&scanned.lockouts));
        }
        let stopwatch = Stopwatch::start();
        let lockouts = Arc::new(verifying.verifier.lockouts(LOCKOUTS).await?);
        let good_until = verifying.verifier.now().plus(stopwatch.elapsed() * 20);
        *last = Some(Scanned { good_until, lockouts: Arc::clone(&lockouts) });
        Ok(lockouts)
    }

    /// Makes the next reader scan: a lockout has ended.
    pub async fn invalidate(&self) {
        *self.0.lock().await = None;
    }
}
