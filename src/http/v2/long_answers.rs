//! The limit on long answers that are made or being read at the same time: lists, summaries, pages, metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use crate::domain::ServiceId;
use crate::http::response::{PIECE, Response};
use crate::numbers::Refusal;

/// The most long answers at the same time for the keys of services.
const MOST: usize = 56;

/// The most of them for the keys of one service. As many more are kept for the account, the keys of all services and
/// the dashboard.
const MOST_PER_CALLER: usize = 8;

/// Counts the permits by the service of the caller's key.
#[derive(Clone, Default)]
pub struct LongAnswerLimiter(Arc<Mutex<HashMap<Option<ServiceId>, usize>>>);

/// Allows one long answer until it is dropped. The answer holds it until the connection has taken its last piece: answers
/// that clients do not read would fill the memory.
pub struct LongAnswerPermit {
    limiter: LongAnswerLimiter,
    caller: Option<ServiceId>,
}

impl fmt::Debug for LongAnswerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongAnswerPermit").finish_non_exhaustive()
    }
}

impl LongAnswerLimiter {
    /// Allows one long answer.
    ///
    /// # Errors
    /// 429 if the caller has too many already, 503 if all callers have.
    pub fn acquire(&self, caller: Option<ServiceId>) -> Result<LongAnswerPermit, Error> {
        let mut permits = self.lock();
        let of_services: usize =
            permits.iter().filter(|(caller, _)| caller.is_some()).map(|(_, count)| count).sum();
        let of_caller = permits.get(&caller).copied().unwrap_or(0);
        if of_caller >= MOST_PER_CALLER {
            return Err(Error::too_many("Too many long answers are being read. Try again shortly."));
        }
        if caller.is_some() && of_services >= MOST {
            return Err(Error::unavailable(Refusal::Overloaded));
        }
        permits.insert(caller, of_caller + 1);
        Ok(LongAnswerPermit { limiter: self.clone(), caller })
    }

    /// Gives an answer a permit if it needs one. Only for requests without an effect: they can be refused afterwards.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn limit(&self, caller: Option<ServiceId>, answer: Response) -> Result<Response, Error> {
        if !needs_permit(&answer) {
            return Ok(answer);
        }
        Ok(answer.holding(self.acquire(caller)?))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<ServiceId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LongAnswerPermit {
    /// Gives an answer this permit if it needs one.
    pub fn cover(self, answer: Response) -> Response {
        if needs_permit(&answer) { answer.holding(self) } else { answer }
    }
}

/// Whether an answer is long, was made for one request only, and has no permit.
fn needs_permit(answer: &Response) -> bool {
    answer.body.len() > PIECE && answer.body.is_unique() && answer.held.is_none()
}

impl Drop for LongAnswerPermit {
    fn drop(&mut self) {
        let mut permits = self.limiter.lock();
        if let Some(of_caller) = permits.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                permits.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_limited_for_each_caller_and_for_all() {
        let limiter = LongAnswerLimiter::default();
        let caller = |number| (number > 0).then(|| ServiceId::new(number));
        let all: Vec<_> = (1..=7)
            .flat_map(|number| (0..8).map(move |_| number))
            .map(|number| limiter.acquire(caller(number)))
            .collect();
        assert!(all.iter().all(Result::is_ok));
        let code = |number| limiter.acquire(caller(number)).err().map(|error| error.code());
        assert_eq!((code(7), code(8)), (Some(20429), Some(20503)));
        let of_the_account: Vec<_> = (0..8).map(|_| limiter.acquire(None)).collect();
        assert!(of_the_account.iter().all(Result::is_ok), "services have taken all of theirs");
        assert_eq!((code(0), code(8)), (Some(20429), Some(20503)));
        drop(of_the_account);
        drop(all);
        assert_eq!(code(0), None);
        assert!(limiter.lock().is_empty());
    }
}
