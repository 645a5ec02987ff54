//! Permits for long answers, and the network that counts as one client.

use std::mem::discriminant;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::ServiceId;

/// Limits the long answers that are made or being read at the same time: lists, summaries, pages, metrics. The keys of
/// services share 56, and the pages of all clients 512, of which one service or client address has 8; the account and the
/// keys of all services have 8.
#[derive(Default)]
pub struct LongAnswers(Mutex<Vec<Answer>>);

/// An answer that is made or being read.
struct Answer {
    reader: Reader,
    since: Instant,
    permit: Weak<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The account, and the keys of all services. It has no share of its own.
    Account,
    Service(ServiceId),
    Client(IpAddr),
}

/// The long answers of one reader.
const SHARE: usize = 8;

/// An answer that is not read to its end after this time gives its place among all to another one. It still counts for
/// its reader.
const UNREAD: Duration = Duration::from_secs(10);

/// Allows one long answer until it is dropped. The answer holds it until the connection has taken its last piece: answers
/// that clients do not read would fill the memory.
pub struct LongAnswerPermit(#[expect(dead_code, reason = "held")] Arc<()>);

impl LongAnswers {
    /// Allows one long answer; `None` if the caller or all callers have too many.
    pub fn acquire(&self, caller: Option<ServiceId>) -> Option<LongAnswerPermit> {
        self.permit(caller.map_or(Reader::Account, Reader::Service))
    }

    /// Allows the client at this address a long page. One that takes no answer has no places of others.
    pub fn acquire_page(&self, client: IpAddr) -> Option<LongAnswerPermit> {
        self.permit(Reader::Client(network_of(client)))
    }

    #[expect(clippy::disallowed_methods, reason = "time limits are those of the runtime's timers")]
    fn permit(&self, reader: Reader) -> Option<LongAnswerPermit> {
        let (since, permit) = (Instant::now(), Arc::default());
        let mut answers = self.0.lock();
        answers.retain(|answer| answer.permit.strong_count() > 0);
        let own = answers.iter().filter(|answer| answer.reader == reader && reader != Reader::Account);
        let shared = answers.iter().filter(|answer| {
            discriminant(&answer.reader) == discriminant(&reader) && since < answer.since + UNREAD
        });
        if own.count() >= SHARE || shared.count() >= reader.places() {
            return None;
        }
        answers.push(Answer { reader, since, permit: Arc::downgrade(&permit) });
        Some(LongAnswerPermit(permit))
    }
}

impl Reader {
    /// The places that it shares with all of its kind.
    const fn places(self) -> usize {
        match self {
            Self::Account => SHARE,
            Self::Service(_) => 7 * SHARE,
            Self::Client(_) => 64 * SHARE,
        }
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
        assert!(page(0).is_some());
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
        assert_eq!(all.0.lock().len(), 1, "answers that have ended are forgotten");
    }
}
