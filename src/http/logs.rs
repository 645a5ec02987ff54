//! The limits on log lines about requests that are refused.

use std::collections::HashMap;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::observe::log_limit::OncePerSecond;

/// The limits that all requests share.
#[derive(Default)]
pub struct Logs {
    /// Refusals of services, bad bodies at the compatible routes, and refused hooks.
    pub by_kind: ByKind,
    /// Requests that were refused because every circuit is open.
    pub out_of_service: OncePerSecond,
    /// Requests with a wrong credential.
    pub unauthenticated: OncePerSecond,
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

/// Limits on lines by what they are about and their reason: no kind hides another one, under overload too.
#[derive(Default)]
pub struct ByKind(Mutex<HashMap<(String, String), OncePerSecond>>);

impl ByKind {
    /// `log` is told the number of events, and whether they are the first ones.
    pub fn note(&self, about: &str, reason: &str, log: impl FnOnce(u64, bool) + Send + 'static) {
        let (mut limits, kind) = (self.0.lock(), (about.to_owned(), reason.to_owned()));
        let is_first = !limits.contains_key(&kind);
        limits.entry(kind).or_default().note(move |count| log(count, is_first));
    }
}
