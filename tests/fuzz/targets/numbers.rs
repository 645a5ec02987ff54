//! Parsers of numbers, languages, codes, attempt ids and the routing.

use onceward::domain::{
    AttemptId, Code, GatewayName, Locale, NumberError, PhoneNumber, ProviderName, Region, Routing,
    RoutingEntry,
};

use super::support::{first_line, text};

/// A region in the first line, or `-`; a number in the rest.
pub fn numbers(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let (region, written) = first_line(input);
    let region = Region::parse(region);
    let read = PhoneNumber::parse(written, region);
    // In front of it a space may have been a plus.
    assert_eq!(PhoneNumber::parse(&format!("{written} \t"), region), read, "space behind it says nothing");
    match read {
        Ok(number) => good(number, written, region),
        // None contains more of the input than one sign.
        Err(
            NumberError::Unreadable
            | NumberError::Impossible
            | NumberError::Sign(_)
            | NumberError::Renumbered(_),
        ) => {}
    }
    if written.trim().len() > 40 {
        assert!(read.is_err(), "longer than any number");
    }
}

fn good(number: PhoneNumber, written: &str, region: Option<Region>) {
    let digits = number.as_u64().to_string();
    assert!((1..=15).contains(&digits.len()) && PhoneNumber::from_u64(number.as_u64()) == Some(number));
    // A number must have one spelling, because the server counts by it.
    assert_eq!(PhoneNumber::parse(&number.e164(), None), Ok(number), "{written:?} in {region:?}");
    assert_eq!(PhoneNumber::parse(&number.e164(), region), Ok(number), "{written:?} in {region:?}");
    let spaced: String = digits.chars().flat_map(|digit| [digit, ' ']).collect();
    assert_eq!(PhoneNumber::parse(&format!("+{spaced}"), None), Ok(number), "{written:?}");
    if written.trim().starts_with('+') {
        assert_eq!(PhoneNumber::parse(written, None), Ok(number), "with a + the region says nothing");
    }
    let shown = number.to_string();
    let open = shown.chars().filter(char::is_ascii_digit).count();
    assert!(shown.len() == digits.len() + 1 && open <= 6, "{shown} for {} digits", digits.len());
    assert!(digits.len() <= 4 || open < digits.len(), "{shown} hides nothing");
    if let Some(region) = number.region() {
        assert_eq!(Region::parse(&region.to_string()).is_some(), region.to_string() != "001");
        let _ = Locale::of_region(region).map(known_again);
    }
}

/// A language tag.
pub fn locales(input: &[u8]) {
    let Some(input) = text(input) else { return };
    if let Some(region) = Region::parse(input) {
        let _ = Locale::of_region(region).map(known_again);
    }
    let read = Locale::parse(input);
    for other in [input.replace('_', "-"), input.replace('-', "_"), input.to_ascii_uppercase()] {
        assert_eq!(Locale::parse(&other), read, "{other:?}");
    }
    let _ = read.map(known_again);
}

/// Records keep a language by its tag: an unreadable tag would stop the next start.
fn known_again(locale: Locale) {
    let tag = locale.to_string();
    assert_eq!(Locale::parse(&tag), Some(locale), "{tag}");
    assert!(tag.len() <= 16 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{tag}");
    let looked_up: Vec<Locale> = locale.lookup().collect();
    assert!(looked_up.len() <= 5 && looked_up[0] == locale);
    assert!(looked_up.iter().any(|other| *other == locale.language()));
}

/// The setting `otp-sms-provider`.
pub fn routing(input: &[u8]) {
    let Some(setting) = text(input) else { return };
    let gateway = |name| match name {
        ProviderName::Twilio => Ok(GatewayName::ALL[0]),
        ProviderName::Gateway(name) => Ok(name),
    };
    let routing = match Routing::parse(setting, gateway) {
        Ok(routing) => routing,
        Err(error) => return assert!(error.to_string().len() < 8 * setting.len() + 400),
    };
    for entry in routing.entries() {
        let is_prefix = |p: &String| (1..=15).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
        assert!(entry.prefixes.iter().all(is_prefix));
    }
    assert_eq!(Routing::parse(&routing.to_string(), gateway).as_ref(), Ok(&routing), "{setting:?}");
    let prefixes = routing.entries().iter().flat_map(|entry| &entry.prefixes);
    let near = prefixes.flat_map(|prefix| [prefix.clone(), format!("{prefix}0"), format!("{prefix}55501")]);
    for digits in near.chain(["1".to_owned(), "999999999999999".to_owned()]) {
        let Some(number) = digits.parse().ok().and_then(PhoneNumber::from_u64) else { continue };
        let order: Vec<GatewayName> = routing.order(number).collect();
        assert_eq!(order, by_the_book(routing.entries(), &digits), "{routing} for {digits}");
    }
}

/// The order of the gateways according to the documentation.
fn by_the_book(entries: &[RoutingEntry], digits: &str) -> Vec<GatewayName> {
    let mut best: Option<(usize, GatewayName)> = None;
    for entry in entries {
        for prefix in entry.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str())) {
            if best.is_none_or(|(length, _)| prefix.len() > length) {
                best = Some((prefix.len(), entry.gateway));
            }
        }
    }
    let any = entries.iter().filter(|entry| entry.prefixes.is_empty()).map(|entry| entry.gateway);
    best.map(|(_, gateway)| gateway).into_iter().chain(any).collect()
}

/// A submitted code, or the id of an attempt.
pub fn codes(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let is_code = (4..=10).contains(&input.len()) && input.bytes().all(|b| b.is_ascii_digit());
    let code = Code::parse(input);
    assert_eq!(code.is_some(), is_code);
    if let Some(code) = code {
        assert_eq!(code.expose(), input);
        assert!(code.matches(&code.clone()) && format!("{code:?}") == "Code(***)");
    }
    if let Some(id) = AttemptId::parse(input) {
        assert_eq!(id.to_string(), input);
    }
}
