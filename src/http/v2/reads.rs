//! The limit on lists, summaries and other long answers that are read at the same time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use crate::domain::ServiceId;
use crate::http::response::Response;
use crate::numbers::Refusal;

/// The most lists and summaries that are read at the same time for the keys of services.
const MOST: usize = 56;

/// The most of them for the keys of one service. As many more are kept for the account, the keys of all services and
/// the dashboard.
const MOST_EACH: usize = 8;

/// Shorter answers need no place: 128 of them, one for each stream of a connection, are half a MiB.
const LONG: usize = 4 * 1024;

/// The lists and summaries that are being read, by the service of the caller's key.
#[derive(Clone, Default)]
pub struct ListReads(Arc<Mutex<HashMap<Option<ServiceId>, usize>>>);

/// A place for one list or summary. Dropping it frees the place. Its answer has the place until the client has read it:
/// answers that clients do not read would fill the memory.
pub struct ListPlace {
    reads: ListReads,
    caller: Option<ServiceId>,
}

impl fmt::Debug for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListPlace").finish_non_exhaustive()
    }
}

impl ListReads {
    /// Takes a place for one list or summary.
    ///
    /// # Errors
    /// 429 if the caller reads too many already, 503 if all callers do.
    pub fn begin(&self, caller: Option<ServiceId>) -> Result<ListPlace, Error> {
        let mut reads = self.lock();
        let of_services: usize =
            reads.iter().filter(|(caller, _)| caller.is_some()).map(|(_, places)| places).sum();
        let of_caller = reads.get(&caller).copied().unwrap_or(0);
        if of_caller >= MOST_EACH {
            return Err(Error::too_many("Too many lists are being read. Try again shortly."));
        }
        if caller.is_some() && of_services >= MOST {
            return Err(Error::unavailable(Refusal::Overloaded));
        }
        reads.insert(caller, of_caller + 1);
        Ok(ListPlace { reads: self.clone(), caller })
    }

    /// Gives an answer a place if it is long, was made for one request only, and has none.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn hold(&self, caller: Option<ServiceId>, answer: Response) -> Result<Response, Error> {
        if answer.body.len() <= LONG || !answer.body.is_unique() || answer.held.is_some() {
            return Ok(answer);
        }
        Ok(answer.holding(self.begin(caller)?))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<ServiceId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ListPlace {
    fn drop(&mut self) {
        let mut reads = self.reads.lock();
        if let Some(of_caller) = reads.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                reads.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_limited_for_each_caller_and_for_all() {
        let reads = ListReads::default();
        let caller = |number| (number > 0).then(|| ServiceId::new(number));
        let all: Vec<_> = (1..=7)
            .flat_map(|number| (0..8).map(move |_| number))
            .map(|number| reads.begin(caller(number)))
            .collect();
        assert!(all.iter().all(Result::is_ok));
        let code = |number| reads.begin(caller(number)).err().map(|error| error.code());
        assert_eq!((code(7), code(8)), (Some(20429), Some(20503)));
        let of_the_account: Vec<_> = (0..8).map(|_| reads.begin(None)).collect();
        assert!(of_the_account.iter().all(Result::is_ok), "the places of services are all taken");
        assert_eq!((code(0), code(8)), (Some(20429), Some(20503)));
        drop(of_the_account);
        drop(all);
        assert_eq!(code(0), None);
        assert!(reads.lock().is_empty());
    }
}
