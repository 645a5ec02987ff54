//! The proof that a node of the cluster passed a request on: an HMAC with the server key over the time and the request.
//! It is valid once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base16ct::lower::encode_string;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::request::{self, BodyDigest, IDEMPOTENCY_KEY};
use crate::clock::Clock;
use crate::domain::Timestamp;

/// The proof: time, start and number of the sender, the body's SHA-256, and the HMAC, in hex.
pub static PROOF: HeaderName = HeaderName::from_static("x-onceward-node");

/// The client's address in a request that was passed on.
pub static CLIENT: HeaderName = HeaderName::from_static("x-onceward-client");

/// The name of the node to which the request was passed on.
pub static OWNER: HeaderName = HeaderName::from_static("x-onceward-owner");

/// Headers that are proven, beside the target and the body.
static PROVEN: [&HeaderName; 5] = [&CLIENT, &OWNER, &AUTHORIZATION, &COOKIE, &IDEMPOTENCY_KEY];

/// The largest difference of the clocks of two nodes.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Numbers of one sender below its newest one that may still arrive.
const WINDOW: usize = 1 << 16;

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Client,
    /// A node, for the client at this address. The body must have the digest.
    Node {
        client: IpAddr,
        body: BodyDigest,
    },
    /// It claims to be a node.
    Unproven,
}

pub struct Proofs {
    key: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
    /// Random for each start of the program.
    start: u64,
    /// The number of this node's last request.
    sent: AtomicU64,
    /// What other nodes sent, by their starts.
    taken: Mutex<HashMap<u64, UsedProofs>>,
}

/// The numbers of one sender that were taken.
struct UsedProofs {
    last: Timestamp,
    newest: u64,
    /// Whether each of the last [`WINDOW`] numbers was taken.
    taken: Box<[bool]>,
}

impl Proofs {
    /// `secret` is the same on all nodes. `start` differs between starts. `clock` tells the time of day.
    pub fn new(secret: &[u8], start: u64, clock: Arc<dyn Clock>) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("a key");
        let derived = mac(secret).chain_update(b"onceward: request passed on by a node").finalize();
        let (sent, taken) = (AtomicU64::new(0), Mutex::default());
        Self { key: mac(&derived.into_bytes()), clock, start, sent, taken }
    }

    /// A text that no node has made before.
    pub fn unique(&self) -> String {
        format!("{:x}-{:x}", self.start, self.sent.fetch_add(1, Ordering::Relaxed))
    }

    /// The proof of a request with these headers.
    pub fn of(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> HeaderValue {
        let number = 1 + self.sent.fetch_add(1, Ordering::Relaxed);
        let stamp = [self.clock.wall().as_millis(), self.start, number];
        let body = BodyDigest::from(Sha256::digest(body));
        let mac = self.mac(stamp, &body, method, path_and_query, headers).finalize().into_bytes();
        let [time, start, number] = stamp;
        let text = format!("{time:x}-{start:x}-{number:x}-{}-{}", encode_string(&body), encode_string(&mac));
        // Hex digits and hyphens are always a valid value.
        let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"));
        value.set_sensitive(true);
        value
    }

    /// Who sent a request. Takes its proof: a second request with it has none.
    pub fn sender(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Sender {
        if !headers.contains_key(&PROOF) {
            return Sender::Client;
        }
        self.proven(method, uri, headers).unwrap_or(Sender::Unproven)
    }

    fn proven(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Sender> {
        let parts: Vec<&str> = request::only(headers, &PROOF)?.split('-').collect();
        let [time, start, number, body, mac] = parts[..] else { return None };
        let number_of = |hex| u64::from_str_radix(hex, 16).ok();
        let digest_of = |hex: &str| {
            let mut bytes = [0; 32];
            let length = base16ct::lower::decode(hex, &mut bytes).ok()?.len();
            (length == bytes.len()).then_some(bytes)
        };
        let stamp = [number_of(time)?, number_of(start)?, number_of(number)?];
        let (body, mac) = (digest_of(body)?, digest_of(mac)?);
        let path_and_query = uri.path_and_query().map_or("/", |both| both.as_str());
        self.mac(stamp, &body, method, path_and_query, headers).verify_slice(&mac).ok()?;
        let client = request::only(headers, &CLIENT)?.parse().ok()?;
        let [time, start, number] = stamp;
        let (time, now) = (Timestamp::from_millis(time), self.clock.wall());
        let is_of_now = time.max(now).since(time.min(now)) <= SKEW;
        // Only a number with a right HMAC is taken: strangers must not use up those of a node, or fill the table.
        (is_of_now && self.take(start, number, now)).then_some(Sender::Node { client, body })
    }

    fn mac(
        &self,
        stamp: [u64; 3],
        body: &BodyDigest,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
    ) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        let mut add = |field: &[u8]| {
            // With its length before each field no two requests give the same bytes.
            mac.update(&(field.len() as u64).to_le_bytes());
            mac.update(field);
        };
        for number in stamp {
            add(&number.to_le_bytes());
        }
        add(body);
        add(method.as_str().as_bytes());
        add(path_and_query.as_bytes());
        for name in PROVEN {
            let values = headers.get_all(name);
            add(&(values.iter().count() as u64).to_le_bytes());
            for value in &values {
                add(value.as_bytes());
            }
        }
        mac
    }

    /// Returns `true` for each number of a sender once.
    fn take(&self, start: u64, number: u64, now: Timestamp) -> bool {
        let mut taken = self.taken.lock();
        if !taken.contains_key(&start) {
            // A request that old is not of now.
            taken.retain(|_, sender| now < sender.last.plus(2 * SKEW));
        }
        let sender = taken.entry(start).or_insert_with(|| UsedProofs {
            last: now,
            newest: 0,
            taken: vec![false; WINDOW].into_boxed_slice(),
        });
        sender.last = sender.last.max(now);
        sender.take(number)
    }
}

impl UsedProofs {
    fn take(&mut self, number: u64) -> bool {
        if self.newest.saturating_sub(number) >= WINDOW as u64 {
            return false;
        }
        let skipped = self.newest.saturating_add(1)..=number;
        // A jump by more than the window clears each place once.
        for skipped in skipped.rev().take(WINDOW).filter(|skipped| *skipped > self.newest) {
            self.taken[place(skipped)] = false;
        }
        self.newest = self.newest.max(number);
        !std::mem::replace(&mut self.taken[place(number)], true)
    }
}

/// The place of a number in the window.
fn place(number: u64) -> usize {
    // Below the window, which fits.
    usize::try_from(number % WINDOW as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const PATH: &str = "/api/send-otp?a=1";

    fn proofs(start: u64, clock: &Arc<ManualClock>) -> Proofs {
        Proofs::new(b"a secret of all nodes", start, Arc::clone(clock) as _)
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
    }

    fn passed_on(node: &Proofs) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(&CLIENT, HeaderValue::from_static("192.0.2.7"));
        headers.insert(&OWNER, HeaderValue::from_static("b"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        let proof = node.of(&Method::POST, PATH, &headers, &Bytes::from_static(b"{}"));
        headers.insert(&PROOF, proof);
        headers
    }

    fn sender(owner: &Proofs, headers: &HeaderMap) -> Sender {
        owner.sender(&Method::POST, &Uri::from_static(PATH), headers)
    }

    #[test]
    fn a_request_is_taken_once_for_the_client_and_the_body_that_it_names() {
        let clock = clock();
        let (node, owner) = (proofs(1, &clock), proofs(2, &clock));
        let headers = passed_on(&node);
        let body = BodyDigest::from(Sha256::digest(b"{}"));
        let client = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(sender(&owner, &headers), Sender::Node { client, body });
        assert_eq!(sender(&owner, &headers), Sender::Unproven, "a second time");
        assert!(matches!(sender(&owner, &passed_on(&node)), Sender::Node { .. }));
        assert_eq!(sender(&owner, &HeaderMap::new()), Sender::Client);
    }

    #[test]
    fn a_proof_is_of_one_request_only() {
        let clock = clock();
        let (node, owner) = (proofs(1, &clock), proofs(2, &clock));
        for name in [&CLIENT, &OWNER, &AUTHORIZATION, &PROOF] {
            let mut changed = passed_on(&node);
            changed.insert(name, HeaderValue::from_static("192.0.2.8"));
            assert_eq!(sender(&owner, &changed), Sender::Unproven, "{name}");
        }
        let headers = passed_on(&node);
        for (method, path) in [(Method::GET, PATH), (Method::POST, "/api/send-otp?a=2"), (Method::POST, "/")]
        {
            let other = owner.sender(&method, &Uri::from_static(path), &headers);
            assert_eq!(other, Sender::Unproven, "{method} {path}");
        }
        let stranger = Proofs::new(b"another secret", 3, clock);
        assert_eq!(sender(&owner, &passed_on(&stranger)), Sender::Unproven);
        assert!(matches!(sender(&owner, &headers), Sender::Node { .. }));
    }

    #[test]
    fn a_proof_is_valid_for_five_minutes_of_either_clock() {
        for (later, is_valid) in [(299, true), (301, false)] {
            let (of_node, of_owner) = (clock(), clock());
            let (node, owner) = (proofs(1, &of_node), proofs(2, &of_owner));
            let sent = passed_on(&node);
            of_owner.advance(Duration::from_secs(later));
            assert_eq!(sender(&owner, &sent) != Sender::Unproven, is_valid, "{later} s late");
            of_node.advance(Duration::from_secs(2 * later));
            assert_eq!(sender(&owner, &passed_on(&node)) != Sender::Unproven, is_valid, "{later} s early");
        }
    }

    #[test]
    fn requests_that_overtake_each_other_are_taken_once_each() {
        let clock = clock();
        let (node, owner) = (proofs(1, &clock), proofs(2, &clock));
        let sent: Vec<HeaderMap> = (0..200).map(|_| passed_on(&node)).collect();
        for round in 0..2 {
            for headers in sent.iter().rev() {
                assert_eq!(sender(&owner, headers) == Sender::Unproven, round == 1);
            }
        }
        let mut taken =
            UsedProofs { last: Timestamp::EPOCH, newest: 0, taken: vec![false; WINDOW].into_boxed_slice() };
        let window = WINDOW as u64;
        assert!(taken.take(1) && taken.take(window + 5) && taken.take(6) && taken.take(10 * window));
        assert!(!taken.take(6) && !taken.take(1) && !taken.take(9 * window) && taken.take(9 * window + 1));
        assert!(taken.take(u64::MAX) && !taken.take(u64::MAX));
    }
}
