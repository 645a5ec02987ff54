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

    /// The gateways to try for a number, the first one first.
    pub fn order(&self, number: PhoneNumber) -> impl Iterator<Item = GatewayName> + '_ {
        let any = self.entries.iter().filter(|entry| entry.prefixes.is_empty());
        self.by_prefix(number).into_iter().chain(any).map(|entry| entry.gateway)
    }

    /// The entry with the longest prefix of a number, in its form of today or an old one; of two equally long ones, the one
    /// written first.
    fn by_prefix(&self, number: PhoneNumber) -> Option<&RoutingEntry> {
        // Every message passes here; therefore nothing is allocated.
        let longest_of = |entry: &RoutingEntry, form: PhoneNumber| {
            let mut buffer = [0; DIGITS_MAX];
            let digits = spelled(form, &mut buffer);
            let fitting = entry.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_bytes()));
            fitting.map(String::len).max()
        };
        let longest = |entry: &RoutingEntry| {
            let entry = Some(entry).filter(|entry| !entry.prefixes.is_empty())?;
            let forms = std::iter::once(number).chain(plans::old_forms(number));
            forms.filter_map(|form| longest_of(entry, form)).max()
        };
        let fitting = self.entries.iter().filter_map(|entry| longest(entry).map(|length| (length, entry)));
        // Of equals the last one counts as the largest.
        fitting.rev().max_by_key(|(length, _)| *length).map(|(_, entry)| entry)
    }
}

/// Digits of the longest number (ITU-T E.164).
pub(super) const DIGITS_MAX: usize = 15;

/// The digits of a number, written at the end of `buffer`.
pub(super) fn spelled(number: PhoneNumber, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
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

/// A provider as the setting names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderName {
    /// Twilio: Messages or Verify, as configured.
    Twilio,
    /// One gateway, said outright.
    Gateway(GatewayName),
}

impl ProviderName {
    /// Every name that the setting may contain.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Twilio).chain(GatewayName::known().map(Self::Gateway))
    }

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
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
    // No country code begins with a zero; therefore no number does.
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

/// The setting cannot be used. Printed with the setting and a line that points at the part:
///
/// ```text
/// there is no provider "Twillio"; did you mean Twilio?
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
    /// The bytes of the setting that it is about. Empty where something is missing, and then perhaps
    /// behind the last byte.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
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
    use GatewayName::{Http, Mada, Simulator, Sinch, TwilioMessages, TwilioVerify};

    /// Twilio sends through Messages, and every gateway is configured but the simulator.
    fn resolver(name: ProviderName) -> Result<GatewayName, String> {
        match name {
            ProviderName::Twilio => Ok(TwilioMessages),
            ProviderName::Gateway(Simulator) => Err("the simulator is not wanted here".to_owned()),
            ProviderName::Gateway(name) => Ok(name),
        }
    }

    fn routing(setting: &str) -> Routing {
        let parsed = Routing::parse(setting).unwrap_or_else(|error| panic!("{error}"));
        parsed.resolve(resolver).unwrap_or_else(|error| panic!("{error}"))
    }

    fn order(setting: &str, number: u64) -> Vec<GatewayName> {
        routing(setting).order(PhoneNumber::from_u64(number).expect("a number")).collect()
    }

    #[test]
    fn a_number_goes_to_the_longest_prefix_then_to_entries_without_prefix() {
        let contract = "Twilio;Mada:+35987,+35988;Sinch";
        let nested = "Mada:+359;Sinch:+35987,+3598712;Http:+3598;Twilio;TwilioVerify";
        for (setting, number, expected) in [
            ("Twilio", 14_155_552_671, vec![TwilioMessages]),
            (contract, 14_155_552_671, vec![TwilioMessages, Sinch]),
            (contract, 359_871_234_567, vec![Mada, TwilioMessages, Sinch]),
            (contract, 359_881_234_567, vec![Mada, TwilioMessages, Sinch]),
            (contract, 359_891_234_567, vec![TwilioMessages, Sinch]),
            (contract, 35_987, vec![Mada, TwilioMessages, Sinch]),
            (contract, 3_598, vec![TwilioMessages, Sinch]),
            ("Sinch;Twilio", 14_155_552_671, vec![Sinch, TwilioMessages]),
            (nested, 359_211_234_567, vec![Mada, TwilioMessages, TwilioVerify]),
            (nested, 359_811_234_567, vec![Http, TwilioMessages, TwilioVerify]),
            (nested, 359_871_134_567, vec![Sinch, TwilioMessages, TwilioVerify]),
            (nested, 359_871_234_567, vec![Sinch, TwilioMessages, TwilioVerify]),
            (nested, 49_171_123_456, vec![TwilioMessages, TwilioVerify]),
            // The longer prefix is written first, and last.
            ("Mada:+35987;Sinch:+359", 359_871_234_567, vec![Mada]),
            ("Sinch:+359;Mada:+35987", 359_871_234_567, vec![Mada]),
            ("Mada:+35987", 14_155_552_671, vec![]),
            // The old and the new form of one number.
            ("Mada:+52155;Twilio", 525_512_345_678, vec![Mada, TwilioMessages]),
            ("Mada:+5255;Twilio", 525_512_345_678, vec![Mada, TwilioMessages]),
            ("Mada:+24106;Twilio", 24_166_031_234, vec![Mada, TwilioMessages]),
            ("Mada:+24106;Twilio", 24_177_031_234, vec![TwilioMessages]),
            (" Twilio ; Mada : +35987 , +35988 ", 359_881_234_567, vec![Mada, TwilioMessages]),
            ("Mada:+123456789012345;Twilio", 123_456_789_012_345, vec![Mada, TwilioMessages]),
            ("Mada:+1;Twilio", 123_456_789_012_345, vec![Mada, TwilioMessages]),
        ] {
            assert_eq!(order(setting, number), expected, "{setting:?} for +{number}");
        }
    }

    #[test]
    fn of_two_equal_prefixes_the_one_written_first_wins() {
        let entry = |gateway| RoutingEntry { gateway, prefixes: vec!["1".to_owned(), "1415".to_owned()] };
        let routing = Routing::new(vec![entry(Sinch), entry(Mada)]);
        let number = PhoneNumber::from_u64(14_155_552_671).expect("a number");
        assert_eq!(routing.order(number).collect::<Vec<_>>(), [Sinch]);
    }

    #[test]
    fn a_routing_names_its_gateways() {
        assert!(routing("Mada:+359;Twilio").names(Mada));
        assert!(!routing("Mada:+359;Twilio").names(TwilioVerify));
        assert_eq!(routing("TwilioVerify"), Routing::only(TwilioVerify));
        assert_eq!(routing("Mada:+359;Twilio").entries()[0].prefixes, ["359"]);
    }

    #[test]
    fn an_entry_keeps_the_name_that_was_written() {
        let parsed = Routing::parse("Mada:+359; Twilio").expect("a routing");
        let entries: Vec<_> = parsed.entries().iter().map(|e| (e.name, e.range.clone())).collect();
        assert_eq!(entries, [(ProviderName::Gateway(Mada), 0..4), (ProviderName::Twilio, 11..17)]);
    }

    /// The setting, the part that the error points at (between `[` and `]`), and some of the words.
    const MISTAKES: &[(&str, &str)] = &[
        ("[]", "a provider is missing"),
        ("  []", "a provider is missing"),
        ("Twilio;[]", "a provider is missing"),
        ("[];Twilio", "a provider is missing"),
        ("Twilio; [];Sinch", "a provider is missing"),
        ("[]:+359;Sinch", "a provider is missing"),
        ("[Twillio];Sinch", "did you mean Twilio?"),
        ("Sinch;[twilio]", "did you mean Twilio?"),
        ("Sinch;[TwilioMesages]", "did you mean TwilioMessages?"),
        ("[Sinsh]", "did you mean Sinch?"),
        ("[MADA]:+359", "did you mean Mada?"),
        (
            "[Vonage]",
            "there are Twilio, Simulator, TwilioMessages, TwilioVoice, TwilioVerify, Sinch, Mada, Http",
        ),
        ("[Mobica]", "Http sends through it"),
        ("[Twilio,Sinch]", "separated by ;"),
        ("[ß∂ƒ];Sinch", "there is no provider"),
        ("Twilio;Sinch;[Twilio]", "listed already"),
        ("Mada:+1;[Mada]:+2", "listed already; give all of its prefixes in one place"),
        ("Mada:[]", "a prefix is missing"),
        ("Mada:+1,[]", "a prefix is missing"),
        ("Mada:+1,[],+2", "a prefix is missing"),
        ("Mada: [];Twilio", "a prefix is missing"),
        ("Mada:[35987]", "is not a prefix"),
        ("Mada:+1,[0035987]", "is not a prefix"),
        ("Mada:[+]", "is not a prefix"),
        ("Mada:[+0359]", "the country code first"),
        ("Mada:[++359]", "is not a prefix"),
        ("Mada:[+1234567890123456]", "1 to 15 digits"),
        ("Mada:[+359 87]", "is not a prefix"),
        ("Mada:[+359:+360]", "is not a prefix"),
        ("Mada:[+٣٥٩]", "is not a prefix"),
        ("Mada:+359,[+359]", "belongs to Mada already"),
        ("Mada:+359;Sinch:+1, [+359]", "the prefix +359 belongs to Mada already"),
        // Found only when names are compared with what is configured.
        ("Twilio;[TwilioMessages]", "TwilioMessages is TwilioMessages here"),
        ("TwilioMessages; [Twilio] :+1", "Twilio is TwilioMessages here, which is listed already"),
        ("Twilio;[Simulator]", "the simulator is not wanted here"),
    ];

    #[test]
    fn a_mistake_is_pointed_at() {
        for (marked, words) in MISTAKES {
            let (start, end) = (marked.find('[').expect("["), marked.find(']').expect("]") - 1);
            let setting = marked.replace(['[', ']'], "");
            let error = Routing::parse(&setting).and_then(|parsed| parsed.resolve(resolver));
            let error = error.expect_err(marked);
            assert_eq!(error.range(), start..end, "{marked}: {error}");
            assert!(error.words.contains(words), "{marked}: {error}");
            assert!(!error.words.contains('\n'), "{marked}: {error}");
        }
    }

    #[test]
    fn an_error_quotes_the_setting_with_a_pointer_below_the_part() {
        let shown = |setting| Routing::parse(setting).expect_err("a mistake").to_string();
        assert_eq!(
            shown("Mada:+35987;Twillio"),
            "there is no provider \"Twillio\"; did you mean Twilio?\n  Mada:+35987;Twillio\n              ^^^^^^^"
        );
        assert!(shown("Twilio;").ends_with("\n  Twilio;\n         ^"));
        assert!(shown("Twilio;\tßeta;\nMada").ends_with("\n  Twilio; ßeta; Mada\n          ^^^^"));
    }
}
