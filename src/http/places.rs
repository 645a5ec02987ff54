//! Permits that are taken and given back: for request bodies that arrive in parts, and for long answers.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::ProxySettings;
use crate::domain::ServiceId;

/// A pool of permits, of which one holder gets at most `share`.
pub struct PermitPool<K>(Arc<Pool<K>>);

struct Pool<K> {
    most: usize,
    share: usize,
    taken: Mutex<PermitCounts<K>>,
}

struct PermitCounts<K> {
    all: usize,
    by_holder: HashMap<K, usize>,
}

impl<K> Clone for PermitPool<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Eq + Hash> PermitPool<K> {
    fn new(most: usize, share: usize) -> Self {
        Self(Arc::new(Pool {
            most,
            share,
            taken: Mutex::new(PermitCounts { all: 0, by_holder: HashMap::new() }),
        }))
    }

    /// Takes a place; `None` as the holder for one that has no limit of its own.
    fn take(&self, holder: Option<K>) -> Option<Place<K>> {
        let mut taken = self.lock();
        let of_holder = holder.and_then(|holder| taken.by_holder.get(&holder).copied()).unwrap_or_default();
        if taken.all >= self.0.most || of_holder >= self.0.share {
            return None;
        }
        taken.all += 1;
        holder.map(|holder| taken.by_holder.insert(holder, of_holder + 1));
        Some(Place { places: self.clone(), holder })
    }

    fn lock(&self) -> MutexGuard<'_, PermitCounts<K>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
pub struct Place<K: Copy + Eq + Hash> {
    places: PermitPool<K>,
    holder: Option<K>,
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(holder) = self.holder
            && let Some(of_holder) = taken.by_holder.get_mut(&holder)
        {
            *of_holder -= 1;
            if *of_holder == 0 {
                taken.by_holder.remove(&holder);
            }
        }
    }
}

/// Limits the long answers that are made or being read at the same time: lists, summaries, pages, metrics. The keys of
/// services share 56, of which those of one service have 8; the account, the keys of all services and pages have 8.
#[derive(Clone)]
pub struct LongAnswers {
    of_services: PermitPool<ServiceId>,
    others: PermitPool<ServiceId>,
}

/// Allows one long answer until it is dropped. The answer holds it until the connection has taken its last piece: answers
/// that clients do not read would fill the memory.
pub type LongAnswerPermit = Place<ServiceId>;

impl Default for LongAnswers {
    fn default() -> Self {
        Self { of_services: PermitPool::new(56, 8), others: PermitPool::new(8, 8) }
    }
}

impl LongAnswers {
    /// Allows one long answer; `None` if the caller or all callers have too many.
    pub fn acquire(&self, caller: Option<ServiceId>) -> Option<LongAnswerPermit> {
        if caller.is_some() { &self.of_services } else { &self.others }.take(caller)
    }
}

/// Permits for request bodies that arrive in parts. A body that arrives together with its head needs none.
///
/// Without a limit, clients that open many streams of HTTP/2 and never end their bodies would fill memory, and with one
/// limit for all they would refuse the requests of all. Therefore a connection has [`BodyPlaces::OF_CONNECTION`] places, an
/// address a share of all, and requests without a credential have a small pool of their own.
pub struct BodyPlaces {
    /// For requests with a valid credential, or at routes that need none.
    admitted: PermitPool<IpAddr>,
    anonymous: PermitPool<IpAddr>,
}

impl BodyPlaces {
    /// Bodies of one connection at once. Further ones wait.
    pub const OF_CONNECTION: usize = 16;

    /// One place for each connection that may be open: HTTP/1 has one body at a time.
    pub fn new(connections: usize) -> Self {
        let pool = |most: usize| PermitPool::new(most, (most / 4).max(Self::OF_CONNECTION));
        Self { admitted: pool(connections), anonymous: pool((connections / 16).max(4 * Self::OF_CONNECTION)) }
    }

    /// Takes a place for a request from `address`; `None` as the address for one that is not limited, such as a proxy's.
    pub fn take(&self, is_admitted: bool, address: Option<IpAddr>) -> Option<Place<IpAddr>> {
        if is_admitted { &self.admitted } else { &self.anonymous }.take(address.map(network_of))
    }
}

/// The address whose places are limited: the client's, if a trusted proxy names it, or else the other end's. `None` for a
/// proxy and for this machine, which pass on the requests of many.
pub fn limited_address(client: Option<IpAddr>, peer: IpAddr, proxies: &ProxySettings) -> Option<IpAddr> {
    client.or_else(|| (!proxies.trusts(peer) && !peer.is_loopback()).then_some(peer))
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
        assert!(all.of_services.lock().by_holder.is_empty());
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_has_a_quarter_of_the_places() {
        let places = BodyPlaces::new(400);
        let of_one: Vec<_> = (0..500).filter_map(|_| places.take(true, Some(address(1)))).collect();
        assert_eq!(of_one.len(), 100);
        assert!(places.take(true, Some(address(2))).is_some() && places.take(true, None).is_some());
        drop(of_one);
        assert!(places.take(true, Some(address(1))).is_some());
        assert!(places.admitted.lock().by_holder.is_empty(), "no address is kept");
    }

    #[test]
    fn requests_without_a_credential_take_no_place_of_those_with_one() {
        let places = BodyPlaces::new(10_000);
        let anonymous: Vec<_> = (0..=255).flat_map(|last| (0..16).map(move |_| last)).collect();
        let taken: Vec<_> =
            anonymous.iter().filter_map(|last| places.take(false, Some(address(*last)))).collect();
        assert_eq!(taken.len(), 625);
        let admitted: Vec<_> = (0..20_000).map_while(|_| places.take(true, None)).collect();
        assert_eq!(admitted.len(), 10_000);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = BodyPlaces::new(0);
        let of_network =
            (0..100_u128).map(|host| Some(IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host))));
        let taken: Vec<_> = of_network.filter_map(|address| places.take(false, address)).collect();
        assert_eq!(taken.len(), BodyPlaces::OF_CONNECTION);
    }

    #[test]
    fn a_proxy_and_this_machine_have_no_share_of_their_own() {
        let proxies = ProxySettings {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..ProxySettings::default()
        };
        let limited = |client: Option<&str>, peer: &str| {
            let client = client.map(|client| client.parse().expect("an address"));
            limited_address(client, peer.parse().expect("an address"), &proxies)
                .map(|address| address.to_string())
        };
        assert_eq!(limited(None, "10.1.1.1"), None);
        assert_eq!(limited(None, "127.0.0.1"), None);
        assert_eq!(limited(Some("192.0.2.7"), "10.1.1.1").as_deref(), Some("192.0.2.7"));
        assert_eq!(limited(None, "192.0.2.9").as_deref(), Some("192.0.2.9"));
    }
}
