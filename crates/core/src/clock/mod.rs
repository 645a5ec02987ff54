//! Time as a parameter. The trait and the clocks that read nothing; the machine's clock is the server's.

mod engine;
mod machine;
mod manual;

use crate::domain::Timestamp;

pub use engine::EngineClock;
pub use machine::{BootId, Machine};
pub use manual::ManualClock;

/// The last moment that is believed: the end of the year 9999. What lies behind it is a broken clock,
/// and sums with the longest settings would come near the end of what a number can say.
pub const LATEST: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, as far as this clock knows. A clock may step backwards; time that never
    /// runs backwards comes from an [`EngineClock`].
    fn now(&self) -> Timestamp;

    /// What has ended by this moment may be removed for good. No later than [`Clock::now`], and earlier while a
    /// crash might yet have time go on from an earlier moment.
    fn settled(&self) -> Timestamp {
        self.now()
    }

    /// What the machine says of time beyond that. Nothing, for a clock that has no machine.
    fn machine(&self) -> Option<Machine> {
        None
    }
}
