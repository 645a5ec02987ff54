//! Places for request bodies that arrive in parts. A body that arrives together with its head needs none.
//!
//! Without a limit, clients that open many streams of HTTP/2 and never end their bodies would fill memory, and with one
//! limit for all they would refuse the requests of all. Therefore a connection has [`BodyPlaces::OF_CONNECTION`] places, an
//! address a share of all, and requests without a credential have a small pool of their own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::ProxySettings;

pub struct BodyPlaces {
    /// For requests with a valid credential, or at routes that need none.
    admitted: Mutex<Pool>,
    anonymous: Mutex<Pool>,
}

struct Pool {
    places: usize,
    of_address: usize,
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl BodyPlaces {
    /// Bodies of one connection at once. Further ones wait.
    pub const OF_CONNECTION: usize = 16;

    /// One place for each connection that may be open: HTTP/1 has one body at a time.
    pub fn new(connections: usize) -> Self {
        let pool = |places: usize| {
            let of_address = (places / 4).max(Self::OF_CONNECTION);
            Mutex::new(Pool { places, of_address, taken: 0, by_address: HashMap::new() })
        };
        Self { admitted: pool(connections), anonymous: pool((connections / 16).max(4 * Self::OF_CONNECTION)) }
    }

    /// Takes a place for a request from `address`; `None` as the address for one that is not limited, such as a proxy's.
    pub fn take(self: &Arc<Self>, is_admitted: bool, address: Option<IpAddr>) -> Option<BodyPlace> {
        let address = address.map(network_of);
        let mut pool = self.pool(is_admitted);
        let of_address =
            address.and_then(|address| pool.by_address.get(&address).copied()).unwrap_or_default();
        if pool.taken >= pool.places || of_address >= pool.of_address {
            return None;
        }
        pool.taken += 1;
        if let Some(address) = address {
            pool.by_address.insert(address, of_address + 1);
        }
        drop(pool);
        Some(BodyPlace { places: Arc::clone(self), is_admitted, address })
    }

    fn pool(&self, is_admitted: bool) -> MutexGuard<'_, Pool> {
        let pool = if is_admitted { &self.admitted } else { &self.anonymous };
        pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
pub struct BodyPlace {
    places: Arc<BodyPlaces>,
    is_admitted: bool,
    address: Option<IpAddr>,
}

impl Drop for BodyPlace {
    fn drop(&mut self) {
        let mut pool = self.places.pool(self.is_admitted);
        pool.taken -= 1;
        if let Some(address) = self.address
            && let Some(taken) = pool.by_address.get_mut(&address)
        {
            *taken -= 1;
            if *taken == 0 {
                pool.by_address.remove(&address);
            }
        }
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

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_has_a_quarter_of_the_places() {
        let places = Arc::new(BodyPlaces::new(400));
        let of_one: Vec<_> = (0..500).filter_map(|_| places.take(true, Some(address(1)))).collect();
        assert_eq!(of_one.len(), 100);
        assert!(places.take(true, Some(address(2))).is_some() && places.take(true, None).is_some());
        drop(of_one);
        assert!(places.take(true, Some(address(1))).is_some());
        assert!(places.admitted.lock().expect("whole").by_address.is_empty(), "no address is kept");
    }

    #[test]
    fn requests_without_a_credential_take_no_place_of_those_with_one() {
        let places = Arc::new(BodyPlaces::new(10_000));
        let anonymous: Vec<_> = (0..=255).flat_map(|last| (0..16).map(move |_| last)).collect();
        let taken: Vec<_> =
            anonymous.iter().filter_map(|last| places.take(false, Some(address(*last)))).collect();
        assert_eq!(taken.len(), 625);
        let admitted: Vec<_> = (0..20_000).map_while(|_| places.take(true, None)).collect();
        assert_eq!(admitted.len(), 10_000);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = Arc::new(BodyPlaces::new(0));
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
