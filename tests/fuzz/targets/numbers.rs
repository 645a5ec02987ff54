//! Parsers of numbers and languages.

use onceward::domain::{Locale, NumberError, PhoneNumber, Region};

use super::first_line;

/// A region in the first line, or `-`; a number in the rest.
pub fn numbers(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (region, written) = first_line(input);
    let region = Region::parse(region);
    let read = PhoneNumber::parse(written, region);
    // In front of it a space may have been a plus.
    assert_eq!(PhoneNumber::parse(&format!("{written} \t"), region), read, "space behind it says nothing");
    match read {
        Ok(number) => good(number, written, region),
        // None contains any of the input.
        Err(NumberError::Unreadable(_) | NumberError::Impossible(..) | NumberError::Renumbered(_)) => {}
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
    let Ok(input) = std::str::from_utf8(input) else { return };
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
