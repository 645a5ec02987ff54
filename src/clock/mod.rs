//! The only place that reads real time.
//!
//! Everything else is handed a [`Clock`] or a [`Timestamp`](crate::domain::Timestamp), so a test decides what time it is.
//! `docs/decisions/0010-clock.md` says what happens when the machine's clock is wrong or is set.

mod alarm;
mod system;

pub use alarm::Alarm;
pub use onceward_core::clock::{Clock, EngineClock, LATEST, ManualClock};
pub use system::SystemClock;
