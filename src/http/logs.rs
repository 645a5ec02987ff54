//! The limits on log lines about requests that are refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::warn;

use crate::observe::log_limit::OncePerSecond;
use crate::verification::numbers::Refusal;

/// The limits that all requests share.
#[derive(Default)]
pub struct Logs {
    pub refusals: RefusalLog,
    /// Bad bodies at the compatible routes, by route and the beginning of the reason: the rest has places and signs.
    pub bad_bodies: Mutex<HashMap<(String, String), OncePerSecond>>,
    /// Requests that were refused because every circuit is open.
    pub out_of_service: OncePerSecond,
    /// Requests with a wrong credential.
    pub unauthenticated: OncePerSecond,
    pub hooks: HookLog,
    /// A proxy named no address that can be read. It writes all of its headers in one way: the first one is logged.
    pub unread_address: OnceLock<()>,
    /// The same for a proxy that vouched for a person in words that are not known.
    pub unread_risk_check: OnceLock<()>,
    pub failed_handshakes: OncePerSecond,
    /// Connections of clients that hold their share of all.
    pub large_client: OncePerSecond,
    /// The limit of connections was reached.
    pub full: OncePerSecond,
}

/// Services whose refusals have lines of their own. Further services share the lines of `other`, as in metrics.
const NAMED_SERVICES: usize = 100;

/// Logs refusals, each reason of a service once a second at most: under overload there can be tens of thousands in a
/// second.
#[derive(Default)]
pub struct RefusalLog(Mutex<HashMap<Option<String>, HashMap<&'static str, OncePerSecond>>>);

impl RefusalLog {
    /// `service` is the name of the service that the request was about, if it was about one.
    pub fn note(&self, refusal: Refusal, service: Option<String>) {
        let mut logs = self.0.lock();
        let service = service.map(|name| {
            let has_line = logs.len() < NAMED_SERVICES || logs.contains_key(&Some(name.clone()));
            if has_line { name } else { "other".to_owned() }
        });
        let log = logs.entry(service.clone()).or_default().entry(refusal.name()).or_default();
        log.note(move |count| warn!(reason = %refusal, service, count, "requests refused"));
    }
}

/// Logs refused hooks, once a second for each hook and reason: one system's errors do not hide another's, and requests of
/// strangers do not hide what is wrong with signed ones. The first line of each is a warning.
#[derive(Default)]
pub struct HookLog(Mutex<BTreeMap<(&'static str, &'static str), OncePerSecond>>);

impl HookLog {
    /// `log` is told the number of refusals, and whether they are the first ones.
    pub fn note(&self, hook: &'static str, kind: &'static str, log: impl Fn(u64, bool) + Send + 'static) {
        let mut limits = self.0.lock();
        let is_first = !limits.contains_key(&(hook, kind));
        limits.entry((hook, kind)).or_default().note(move |count| log(count, is_first));
    }
}
