//! Which gateways a number's message goes to, in which order: the setting `otp-sms-provider`.
//!
//! `Twilio;Mada:+35987,+35988;Sinch`: a gateway with prefixes takes the numbers that begin with one
//! of them; all others try the gateways without prefixes in the order written. The longest prefix
//! wins, and behind a prefixed gateway comes the list without prefixes.

mod error;
mod parse;

use super::{GatewayName, PhoneNumber};

pub use error::RoutingError;
pub use parse::{ParsedEntry, ParsedRouting, ProviderName};

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

impl std::fmt::Display for Routing {
    /// As the setting spells it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, RoutingEntry { gateway, prefixes }) in self.entries.iter().enumerate() {
            let between = if place == 0 { "" } else { ";" };
            write!(f, "{between}{gateway}")?;
            for (place, prefix) in prefixes.iter().enumerate() {
                write!(f, "{}+{prefix}", if place == 0 { ":" } else { "," })?;
            }
        }
        Ok(())
    }
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

    /// Whether every number has a gateway. Without one that has no prefixes, numbers with other
    /// prefixes get no message: an operator may want that, and should be told.
    pub fn takes_any_number(&self) -> bool {
        self.entries.iter().any(|entry| entry.prefixes.is_empty())
    }

    /// The gateways to try for a number, the first one first.
    pub fn order(&self, number: PhoneNumber) -> impl Iterator<Item = GatewayName> + '_ {
        let any = self.entries.iter().filter(|entry| entry.prefixes.is_empty());
        self.by_prefix(number).into_iter().chain(any).map(|entry| entry.gateway)
    }

    /// The entry with the longest prefix of a number; of two equally long ones, the one written
    /// first.
    fn by_prefix(&self, number: PhoneNumber) -> Option<&RoutingEntry> {
        // Every message passes here, so nothing is allocated.
        let mut buffer = [0; DIGITS_MAX];
        let digits = spelled(number, &mut buffer);
        let longest = |entry: &RoutingEntry| {
            let fitting = entry.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_bytes()));
            fitting.map(String::len).max()
        };
        let fitting = self.entries.iter().filter_map(|entry| longest(entry).map(|length| (length, entry)));
        // Of equals the last one counts as the largest.
        fitting.rev().max_by_key(|(length, _)| *length).map(|(_, entry)| entry)
    }
}

/// Digits of the longest number (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// The digits of a number, written at the end of `buffer`.
fn spelled(number: PhoneNumber, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut rest = number.as_u64();
    let mut first = DIGITS_MAX;
    while rest > 0 && first > 0 {
        first -= 1;
        // A remainder below ten always fits.
        buffer[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    &buffer[first..]
}

#[cfg(test)]
mod tests;
