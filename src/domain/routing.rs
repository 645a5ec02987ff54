//! Which gateways a number's message goes to, in which order: the setting `otp-sms-provider`.
//!
//! `Twilio;Mada:+35987,+35988;Sinch`: a gateway with prefixes takes the numbers that begin with one
//! of them; all others try the gateways without prefixes in the order written. The longest prefix
//! wins, and behind a prefixed gateway comes the list without prefixes.

use super::{GatewayName, PhoneNumber};

/// The order in which gateways are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    entries: Vec<RoutingEntry>,
}

/// One gateway of the routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingEntry {
    /// Who sends.
    pub gateway: GatewayName,
    /// The first digits, without `+`, of the numbers it takes; empty when it takes any.
    pub prefixes: Vec<String>,
}

impl Routing {
    /// Every number goes to one gateway.
    pub fn only(gateway: GatewayName) -> Self {
        Self { entries: vec![RoutingEntry { gateway, prefixes: Vec::new() }] }
    }

    /// From entries in the order written. Names are distinct: the reader of the setting saw to it.
    pub const fn new(entries: Vec<RoutingEntry>) -> Self {
        Self { entries }
    }

    /// Every entry in the order written.
    pub fn entries(&self) -> &[RoutingEntry] {
        &self.entries
    }

    /// Whether a gateway is among them.
    pub fn names(&self, gateway: GatewayName) -> bool {
        self.entries.iter().any(|entry| entry.gateway == gateway)
    }

    /// The gateways to try for a number, the first one first.
    pub fn order(&self, number: PhoneNumber) -> Vec<GatewayName> {
        let digits = number.as_u64().to_string();
        let longest = |entry: &RoutingEntry| {
            let fitting = entry.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str()));
            fitting.map(String::len).max()
        };
        let by_prefix = self.entries.iter().filter_map(|entry| longest(entry).map(|length| (length, entry)));
        // Of two equally long ones, the one written first.
        let prefixed = by_prefix.rev().max_by_key(|(length, _)| *length).map(|(_, entry)| entry.gateway);
        let any = self.entries.iter().filter(|entry| entry.prefixes.is_empty()).map(|entry| entry.gateway);
        prefixed.into_iter().chain(any).collect()
    }
}
