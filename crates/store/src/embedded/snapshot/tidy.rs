//! What has ended leaves the disk, also while nothing changes.

use std::time::Duration;

use super::{Snapshot, SnapshotError};
use onceward_core::domain::Timestamp;

/// When this part of all entries has ended, everything is written anew without them.
const ENDED_PART: u64 = 4;

/// And when one has ended for so long.
const LONGEST: Duration = Duration::from_secs(15 * 60);

impl Snapshot {
    /// Writes everything that matters into one layer, if much has ended, or some long ago. Gives up when `goes_on`
    /// says no. After an error everything is as before.
    pub(in crate::embedded) fn tidy(
        &self,
        now: Timestamp,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), SnapshotError> {
        if !self.is_worth_tidying(now) {
            return Ok(());
        }
        let layers = self.layers();
        if layers.iter().map(|layer| layer.bytes).sum::<u64>() > self.room_for_merges(now) {
            return Ok(());
        }
        self.replace(&layers, layers.len(), &[], self.covered(), now, goes_on)?;
        self.settle()
    }

    pub(super) fn is_worth_tidying(&self, now: Timestamp) -> bool {
        let layers = self.layers();
        let ended_at = |then| layers.iter().map(|layer| layer.ended_at(then)).sum::<u64>();
        let (ended, entries) = (ended_at(now), layers.iter().map(|layer| layer.entries).sum::<u64>());
        ended > 0 && (ended >= entries / ENDED_PART || ended_at(now.minus(LONGEST)) > 0)
    }
}
