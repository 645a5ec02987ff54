//! Reads the setting: which providers, in which order, for which prefixes.
//!
//! Names are taken exactly as they are spelled. Spaces around a part do not matter; an empty part is
//! a mistake, because it is what is left of a forgotten name or prefix.

use std::ops::Range;

use super::error::RoutingError;
use super::{DIGITS_MAX, Routing, RoutingEntry};
use crate::domain::GatewayName;

/// A provider as the setting names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderName {
    /// Twilio: through Messages or through Verify, as it is configured.
    Twilio,
    /// One gateway, said outright.
    Gateway(GatewayName),
}

impl ProviderName {
    /// Every name that the setting may contain.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Twilio).chain(GatewayName::ALL.into_iter().map(Self::Gateway))
    }

    /// The name as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "Twilio",
            Self::Gateway(name) => name.as_str(),
        }
    }

    /// Reads a name, spelled exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|name| name.as_str() == text)
    }
}

/// The setting, read but not yet compared with what is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRouting {
    setting: String,
    entries: Vec<ParsedEntry>,
}

/// One provider of the setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedEntry {
    /// Who.
    pub name: ProviderName,
    /// The first digits, without `+`, of the numbers it takes; empty when it takes any.
    pub prefixes: Vec<String>,
    /// The bytes of the setting that its name is in.
    pub range: Range<usize>,
}

impl Routing {
    /// Reads the setting `otp-sms-provider`. An error says which part is wrong: an unknown name or one
    /// given twice, something that is no prefix or a prefix given twice, or an empty part.
    pub fn parse(setting: &str) -> Result<ParsedRouting, RoutingError> {
        let fail = |range, words| RoutingError { setting: setting.to_owned(), range, words };
        let mut entries: Vec<ParsedEntry> = Vec::new();
        for part in split(setting, 0..setting.len(), ';') {
            let entry = entry(setting, part, &entries).map_err(|(range, words)| fail(range, words))?;
            entries.push(entry);
        }
        Ok(ParsedRouting { setting: setting.to_owned(), entries })
    }
}

impl ParsedRouting {
    /// Every provider in the order written.
    pub fn entries(&self) -> &[ParsedEntry] {
        &self.entries
    }

    /// Decides which gateway each provider is. `gateway_of` says why a provider has none, such as
    /// missing credentials; the error then points at its part.
    pub fn resolve(
        &self,
        gateway_of: impl Fn(ProviderName) -> Result<GatewayName, String>,
    ) -> Result<Routing, RoutingError> {
        let mut resolved: Vec<RoutingEntry> = Vec::new();
        for entry in &self.entries {
            let fail =
                |words| RoutingError { setting: self.setting.clone(), range: entry.range.clone(), words };
            let gateway = gateway_of(entry.name).map_err(fail)?;
            if resolved.iter().any(|earlier| earlier.gateway == gateway) {
                return Err(fail(format!(
                    "{} is {gateway} here, which is listed already; remove one of them",
                    entry.name.as_str()
                )));
            }
            resolved.push(RoutingEntry { gateway, prefixes: entry.prefixes.clone() });
        }
        Ok(Routing::new(resolved))
    }
}

type Mistake = (Range<usize>, String);

fn entry(setting: &str, part: Range<usize>, earlier: &[ParsedEntry]) -> Result<ParsedEntry, Mistake> {
    let (name, list) = match setting[part.clone()].find(':') {
        Some(colon) => {
            let colon = part.start + colon;
            (trimmed(setting, part.start..colon), Some(colon + 1..part.end))
        }
        None => (trimmed(setting, part), None),
    };
    let text = &setting[name.clone()];
    if text.is_empty() {
        let words = "a provider is missing here; write its name, or remove the separator".to_owned();
        return Err((name, words));
    }
    let known = ProviderName::parse(text).ok_or_else(|| (name.clone(), unknown(text)))?;
    if earlier.iter().any(|entry| entry.name == known) {
        let words = format!("{text} is listed already; give all of its prefixes in one place");
        return Err((name, words));
    }
    let mut prefixes: Vec<String> = Vec::new();
    for part in list.into_iter().flat_map(|list| split(setting, list, ',')) {
        let part = trimmed(setting, part);
        let digits = prefix(&setting[part.clone()]).map_err(|words| (part.clone(), words))?;
        let others = earlier.iter().flat_map(|entry| entry.prefixes.iter().map(|p| (entry.name, p)));
        let own = prefixes.iter().map(|prefix| (known, prefix));
        if let Some((taken_by, _)) = others.chain(own).find(|(_, prefix)| **prefix == digits) {
            let words = format!("the prefix +{digits} belongs to {} already", taken_by.as_str());
            return Err((part, words));
        }
        prefixes.push(digits);
    }
    Ok(ParsedEntry { name: known, prefixes, range: name })
}

fn prefix(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a prefix is missing here; write one such as +35987, or remove the separator".to_owned());
    }
    let digits = text.strip_prefix('+').unwrap_or_default();
    let fits = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // No country code begins with a zero, so no number does.
    if !fits || digits.starts_with('0') {
        return Err(format!(
            "{text:?} is not a prefix; write + and 1 to {DIGITS_MAX} digits, the country code first, such as +35987"
        ));
    }
    Ok(digits.to_owned())
}

/// Suggests the closest name for a text such as `twilio` or `Messages`.
fn unknown(text: &str) -> String {
    if text.contains(',') {
        return format!("there is no provider {text:?}; providers are separated by ;");
    }
    if text.eq_ignore_ascii_case("mobica") {
        return format!("there is no provider {text:?}; Http sends through it, as http-gateway describes it");
    }
    let folded = text.to_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&folded, &name.to_lowercase());
    let names = || ProviderName::all().map(ProviderName::as_str);
    let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    if let Some(name) = nearest.filter(|name| likeness(name) >= ALIKE) {
        return format!("there is no provider {text:?}; did you mean {name}?");
    }
    let known: Vec<_> = names().collect();
    format!("there is no provider {text:?}; there are {}", known.join(", "))
}

/// From here on two names are taken for one and the same, misspelled: `Sinsh` and `Sinch` are 0.8
/// alike, `Mobica` and `Mada` 0.33.
const ALIKE: f64 = 0.6;

/// The parts between separators, as ranges of `setting`.
fn split(setting: &str, range: Range<usize>, separator: char) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    setting[range].split(separator).map(move |part| {
        let range = start..start + part.len();
        start = range.end + separator.len_utf8();
        range
    })
}

/// The range without the spaces at its ends.
fn trimmed(setting: &str, range: Range<usize>) -> Range<usize> {
    let text = &setting[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    start..start + text.trim().len()
}
