//! Time as a parameter. The trait and the clocks that read nothing; the machine's clock is the server's.

mod engine;
mod manual;

use crate::domain::Timestamp;

pub use engine::EngineClock;
pub use manual::ManualClock;

/// The last moment that is believed: the end of the year 9999. What lies behind it is a broken clock,
/// and sums with the longest settings would come near the end of what a number can say.
pub const LATEST: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time to decide by. It may step backwards, except that of an [`EngineClock`].
    fn now(&self) -> Timestamp;

    /// What other machines take for the present: for signatures, certificates and times that people read. Never for
    /// a decision, because an operator may set it at any moment.
    fn wall(&self) -> Timestamp {
        self.now()
    }
}
