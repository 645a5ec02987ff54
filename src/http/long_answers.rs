//! The limit on long answers that are made or being read at the same time: lists, summaries, pages, metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ServiceId;

/// The most long answers at the same time.
const ALL: usize = 64;

/// The most of them for the keys of one service. As many are kept for the account, the keys of all services and pages.
const EACH: usize = 8;

/// Counts the permits by the service of the caller's key.
#[derive(Clone, Default)]
pub struct LongAnswers(Arc<Mutex<HashMap<Option<ServiceId>, usize>>>);

/// Allows one long answer until it is dropped. The answer holds it until the connection has taken its last piece: answers
/// that clients do not read would fill the memory.
pub struct LongAnswerPermit {
    all: LongAnswers,
    caller: Option<ServiceId>,
}

impl LongAnswers {
    /// Allows one long answer; `None` if the caller or all callers have too many.
    pub fn acquire(&self, caller: Option<ServiceId>) -> Option<LongAnswerPermit> {
        let mut permits = self.lock();
        let of_caller = permits.get(&caller).copied().unwrap_or(0);
        let of_services: usize =
            permits.iter().filter(|(caller, _)| caller.is_some()).map(|(_, count)| count).sum();
        if of_caller >= EACH || caller.is_some() && of_services >= ALL - EACH {
            return None;
        }
        permits.insert(caller, of_caller + 1);
        Some(LongAnswerPermit { all: self.clone(), caller })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<ServiceId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LongAnswerPermit {
    fn drop(&mut self) {
        let mut permits = self.all.lock();
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
        let all = LongAnswers::default();
        let caller = |number| (number > 0).then(|| ServiceId::new(number));
        let is_allowed = |number| all.acquire(caller(number)).is_some();
        let taken: Vec<_> = (1..=7)
            .flat_map(|number| (0..8).map(move |_| number))
            .map(|number| all.acquire(caller(number)).expect("a permit"))
            .collect();
        assert!(!is_allowed(7) && !is_allowed(8));
        let of_the_account: Vec<_> =
            (0..8).map(|_| all.acquire(None).expect("a permit of its own")).collect();
        assert!(!is_allowed(0) && !is_allowed(8));
        drop(of_the_account);
        drop(taken);
        assert!(is_allowed(0) && is_allowed(1));
        assert!(all.lock().is_empty());
    }
}
