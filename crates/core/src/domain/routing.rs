//! The gateways for a number's message, in order: the setting `otp-sms-provider`.
//!
//! `Twilio;Mada:+35987,+35988;Sinch`: a gateway with prefixes takes the numbers that begin with one
//! of them; all others try the gateways without prefixes in the order written. The longest prefix
//! wins, and behind a prefixed gateway comes the list without prefixes.
//!
//! Names are taken exactly as they are spelled. Spaces around a part do not matter; an empty part is
//! a mistake, because it is the rest of a forgotten name or prefix.

use std::fmt;
use std::ops::Range;

use super::phone::DIGITS_MAX;
use super::{GatewayName, PhoneNumber, plans};

/// The order in which gateways are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    entries: Vec<RoutingEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingEntry {
    /// Sends the messages of this entry.
    pub gateway: GatewayName,
    /// The first digits, without `+`, of the numbers it takes; empty when it takes any.
    pub prefixes: Vec<String>,
}

impl fmt::Display for Routing {
    /// As the setting spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// Gateways that one message may be tried with.
    pub const MOST_TRIED: usize = 12;

    /// Every number goes to one gateway.
    pub fn only(gateway: GatewayName) -> Self {
        Self { entries: vec![RoutingEntry { gateway, prefixes: Vec::new() }] }
    }

    /// Reads the setting `otp-sms-provider`. `gateway_of` decides which gateway a name means, `None` being `Twilio`, or says why
    /// there is none, such as missing credentials.
    ///
    /// # Errors
    /// [`RoutingError`] points at the part that is wrong.
    pub fn parse(
        setting: &str,
        gateway_of: impl Fn(Option<GatewayName>) -> Result<GatewayName, String>,
    ) -> Result<Self, RoutingError> {
        let mut entries: Vec<RoutingEntry> = Vec::new();
        for part in setting.split(';') {
            let entry = entry(part, &entries, &gateway_of);
            entries.push(entry.map_err(|(part, words)| RoutingError::at(part, setting, words))?);
        }
        Ok(Self { entries })
    }

    /// From entries in the order written. Names are distinct: the reader of the setting saw to it.
    pub const fn new(entries: Vec<RoutingEntry>) -> Self {
        Self { entries }
    }

    /// Every entry in the order written.
    pub fn entries(&self) -> &[RoutingEntry] {
        &self.entries
    }

    /// Returns `true` if a gateway is among them.
    pub fn names(&self, gateway: GatewayName) -> bool {
        self.entries.iter().any(|entry| entry.gateway == gateway)
    }

    /// Returns `true` if a gateway takes any number.
    pub fn takes_any(&self, gateway: GatewayName) -> bool {
        self.entries.iter().any(|entry| entry.gateway == gateway && entry.prefixes.is_empty())
    }

    /// The gateways to try for a number, the first one first.
    pub fn order(&self, number: PhoneNumber) -> impl Iterator<Item = GatewayName> + '_ {
        let any = self.entries.iter().filter(|entry| entry.prefixes.is_empty());
        self.by_prefix(number).into_iter().chain(any).map(|entry| entry.gateway)
    }

    /// The entry with the longest prefix of a number, in its form of today or an old one; of two equally long ones, the one
    /// written first.
    fn by_prefix(&self, number: PhoneNumber) -> Option<&RoutingEntry> {
        if self.entries.iter().all(|entry| entry.prefixes.is_empty()) {
            return None;
        }
        let forms = std::iter::once(number).chain(plans::old_forms(number));
        let forms: Vec<_> = forms.map(|form| form.as_u64().to_string()).collect();
        let longest = |entry: &RoutingEntry| {
            let fits = |prefix: &&String| forms.iter().any(|form| form.starts_with(*prefix));
            entry.prefixes.iter().filter(fits).map(String::len).max()
        };
        let fitting = self.entries.iter().filter_map(|entry| Some((longest(entry)?, entry)));
        // Of equals the last one counts as the largest.
        fitting.rev().max_by_key(|(length, _)| *length).map(|(_, entry)| entry)
    }
}

/// Twilio's Messages or Verify, as configured.
const TWILIO: &str = "Twilio";

/// Reads one part. An error has the part of it that is wrong.
fn entry<'a>(
    part: &'a str,
    earlier: &[RoutingEntry],
    gateway_of: &impl Fn(Option<GatewayName>) -> Result<GatewayName, String>,
) -> Result<RoutingEntry, (&'a str, String)> {
    let (name, list) = part.split_once(':').map_or((part, None), |(name, list)| (name, Some(list)));
    let name = trimmed(name);
    let fail = |words| Err((name, words));
    if name.is_empty() {
        return fail("a provider is missing here; write its name, or remove the separator".to_owned());
    }
    let known = GatewayName::known().find(|known| known.as_str() == name);
    if known.is_none() && name != TWILIO {
        return fail(unknown(name));
    }
    let gateway = gateway_of(known).map_err(|words| (name, words))?;
    if earlier.iter().any(|entry| entry.gateway == gateway) {
        return fail(format!("{gateway} is listed already; give all of its prefixes in one place"));
    }
    let mut prefixes: Vec<String> = Vec::new();
    for part in list.into_iter().flat_map(|list| list.split(',')).map(trimmed) {
        let digits = prefix(part).map_err(|words| (part, words))?;
        let owner = earlier.iter().find(|entry| entry.prefixes.contains(&digits)).map(|entry| entry.gateway);
        if let Some(owner) = owner.or_else(|| prefixes.contains(&digits).then_some(gateway)) {
            return Err((part, format!("the prefix +{digits} belongs to {owner} already")));
        }
        prefixes.push(digits);
    }
    Ok(RoutingEntry { gateway, prefixes })
}

/// Without the spaces at its ends. Of spaces alone, their end.
fn trimmed(text: &str) -> &str {
    text.trim_start().trim_end()
}

fn prefix(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a prefix is missing here; write one such as +35987, or remove the separator".to_owned());
    }
    let digits = text.strip_prefix('+').unwrap_or_default();
    let fits = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // No country code begins with a zero; therefore no number does.
    if !fits || digits.starts_with('0') {
        return Err(format!(
            "{text:?} is not a prefix; write + and 1 to {DIGITS_MAX} digits, the country code first, such as +35987"
        ));
    }
    Ok(digits.to_owned())
}

fn unknown(text: &str) -> String {
    let names = std::iter::once(TWILIO).chain(GatewayName::ALL.iter().map(|name| name.as_str()));
    format!(
        "there is no provider {text:?}; there are those of the key gateways, and {}",
        names.collect::<Vec<_>>().join(", ")
    )
}

/// The setting cannot be used. Printed with the setting and a line that points at the part:
///
/// ```text
/// there is no provider "Twillio"; there are those of the key gateways, and Twilio, Simulator, ...
///   Mada:+35987;Twillio
///               ^^^^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingError {
    setting: String,
    range: Range<usize>,
    words: String,
}

impl RoutingError {
    /// About `part`, a slice of the setting. It is empty where something is missing.
    fn at(part: &str, setting: &str, words: String) -> Self {
        let start = part.as_ptr().addr() - setting.as_ptr().addr();
        Self { setting: setting.to_owned(), range: start..start + part.len(), words }
    }
}

impl std::error::Error for RoutingError {}

impl fmt::Display for RoutingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line break or a tab in the setting would put the pointer under something else.
        let shown: String = self.setting.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width = |range: Range<usize>| self.setting.get(range).unwrap_or_default().chars().count();
        let before = width(0..self.range.start);
        let pointer = "^".repeat(width(self.range.clone()).max(1));
        write!(f, "{}\n  {shown}\n  {:before$}{pointer}", self.words, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GatewayName::{Simulator, TwilioMessages};

    /// Twilio sends through Messages, and every gateway is configured but the simulator.
    fn resolver(name: Option<GatewayName>) -> Result<GatewayName, String> {
        match name {
            None => Ok(TwilioMessages),
            Some(Simulator) => Err("the simulator is not wanted here".to_owned()),
            Some(name) => Ok(name),
        }
    }

    #[test]
    fn a_number_goes_to_the_longest_prefix_then_to_entries_without_prefix() {
        for row in include_str!("routing.tsv").lines().skip(1) {
            let [order, setting, digits] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let routing = Routing::parse(setting, resolver).unwrap_or_else(|error| panic!("{error}"));
            let number = PhoneNumber::from_u64(digits.parse().expect(row)).expect("a number");
            let names: Vec<_> = routing.order(number).map(GatewayName::as_str).collect();
            assert_eq!(names.join(" "), order, "{row}");
        }
    }

    /// The setting, the part that the error points at (between `[` and `]`), and some of the words.
    #[test]
    fn a_mistake_is_pointed_at() {
        for row in include_str!("routing-mistakes.tsv").lines().skip(1) {
            let (marked, words) = row.split_once('\t').expect("two columns");
            let (start, end) = (marked.find('[').expect("["), marked.find(']').expect("]") - 1);
            let setting = marked.replace(['[', ']'], "");
            let error = Routing::parse(&setting, resolver).expect_err(marked);
            assert_eq!(error.range, start..end, "{marked}: {error}");
            assert!(error.words.contains(words), "{marked}: {error}");
            assert!(!error.words.contains('\n'), "{marked}: {error}");
        }
    }
}
