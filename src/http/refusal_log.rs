//! Refusals in the log. Under overload there can be tens of thousands in a second.

use tracing::warn;

use crate::log_limit::OncePerSecond;
use crate::numbers::Refusal;

/// One limit for each reason.
#[derive(Default)]
pub struct RefusalLog([OncePerSecond; 6]);

impl RefusalLog {
    pub fn note(&self, refusal: Refusal) {
        let kind = match refusal {
            Refusal::Overloaded => 0,
            Refusal::NumberBusy => 1,
            Refusal::SendsOverloaded => 2,
            Refusal::StoreUnavailable => 3,
            Refusal::Stopping => 4,
            Refusal::TooManyNumbers => 5,
        };
        self.0[kind].note(move |count| warn!(reason = %refusal, count, "requests were refused"));
    }
}
