//! Permits for long answers, and the network that counts as one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::domain::ServiceId;

/// Limits the long answers that are made or being read at the same time: lists, summaries, pages, metrics. The keys of
/// services share 56, and the pages of all clients 512, of which one service or client address has 8; the account and the
/// keys of all services have 8.
#[derive(Clone)]
pub struct LongAnswers(Arc<Limits>);

struct Limits {
    of_services: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    others: Arc<Semaphore>,
    /// One for each reader with an answer.
    each: Mutex<HashMap<Reader, Arc<Semaphore>>>,
    /// The places that are taken, and since when.
    taken: Mutex<Vec<(Instant, Weak<Place>)>>,
}

/// A place among those of all, until it is dropped or given to another answer.
type Place = Mutex<Option<OwnedSemaphorePermit>>;

#[derive(PartialEq, Eq, Hash)]
enum Reader {
    Service(ServiceId),
    Client(IpAddr),
}

/// The long answers of one reader, and of all callers of `/v2` without a service.
const SHARE: usize = 8;

/// An answer that is not read to its end after this time gives its place among all to another one. It still counts for
/// its reader.
const UNREAD: Duration = Duration::from_secs(10);

/// Allows one long answer until it is dropped. The answer holds it until the connection has taken its last piece: answers
/// that clients do not read would fill the memory.
pub struct LongAnswerPermit {
    _all: Arc<Place>,
    _own: Option<OwnedSemaphorePermit>,
}

impl Default for LongAnswers {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (of_services, pages, others) = (semaphore(7 * SHARE), semaphore(64 * SHARE), semaphore(SHARE));
        let (each, taken) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Limits { of_services, pages, others, each, taken }))
    }
}

impl LongAnswers {
    /// Allows one long answer; `None` if the caller or all callers have too many.
    pub fn acquire(&self, caller: Option<ServiceId>) -> Option<LongAnswerPermit> {
        match caller {
            Some(service) => self.share(&self.0.of_services, Reader::Service(service)),
            None => Some(LongAnswerPermit { _all: self.0.place(&self.0.others)?, _own: None }),
        }
    }

    /// Allows the client at this address a long page. One that takes no answer has no places of others.
    pub fn acquire_page(&self, client: IpAddr) -> Option<LongAnswerPermit> {
        self.share(&self.0.pages, Reader::Client(network_of(client)))
    }

    fn share(&self, all: &Arc<Semaphore>, reader: Reader) -> Option<LongAnswerPermit> {
        let mut each = self.0.each();
        each.retain(|_, answers| answers.available_permits() < SHARE);
        let own = take(each.entry(reader).or_insert_with(|| Arc::new(Semaphore::new(SHARE))))?;
        Some(LongAnswerPermit { _all: self.0.place(all)?, _own: Some(own) })
    }
}

fn take(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

impl Limits {
    #[expect(clippy::disallowed_methods, reason = "time limits are those of the runtime's timers")]
    fn place(&self, all: &Arc<Semaphore>) -> Option<Arc<Place>> {
        let (now, mut taken) = (Instant::now(), self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        let free = take(all).or_else(|| {
            for place in taken.extract_if(.., |(since, _)| *since + UNREAD <= now) {
                let place = place.1.upgrade();
                drop(place.and_then(|place| place.lock().unwrap_or_else(PoisonError::into_inner).take()));
            }
            take(all)
        });
        let place = Arc::new(Mutex::new(Some(free?)));
        taken.retain(|(_, place)| place.strong_count() > 0);
        taken.push((now, Arc::downgrade(&place)));
        Some(place)
    }

    fn each(&self) -> MutexGuard<'_, HashMap<Reader, Arc<Semaphore>>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of IPv6 has a network of its own, of 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_not_read_give_their_places_to_others() {
        let all = LongAnswers::default();
        let page = |client: u8| all.acquire_page([192, 0, 2, client].into());
        let stalled: Vec<_> = (0..64).flat_map(|client| [client; SHARE]).map(page).collect();
        assert!(stalled.iter().all(Option::is_some) && page(99).is_none());
        tokio::time::advance(UNREAD).await;
        let read: Vec<_> = (0..SHARE).map(|_| page(99).expect("a place")).collect();
        assert!(page(99).is_none() && page(0).is_none(), "each has its share");
        drop((read, stalled));
        assert!(page(0).is_some() && all.0.pages.available_permits() == 64 * SHARE);
    }

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
        let page = |client: &str| all.acquire_page(client.parse().expect("an address"));
        let of_one: Vec<_> = (0..8).map(|_| page("2001:db8::1").expect("a permit")).collect();
        assert!(page("2001:db8::2").is_none() && page("2001:db8:0:1::1").is_some());
        drop(of_one);
        drop(of_the_account);
        drop(taken);
        assert!(is_allowed(0) && is_allowed(1));
        assert_eq!(all.0.each().len(), 1, "services without an answer are forgotten");
    }
}
