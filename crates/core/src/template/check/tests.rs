//! Which texts are refused, and which get advice because they cost more than they seem to.

use super::*;
use crate::template::LONGEST;

fn check(written: &str, brand: &str) -> Result<String, String> {
    with_domain(written, brand, None)
}

fn with_domain(written: &str, brand: &str, domain: Option<&str>) -> Result<String, String> {
    let context =
        Context { brand: brand.into(), domain: domain.map(Into::into), life: Duration::from_secs(600) };
    check_text(written, &context).map(|text| text.finish(Channel::Sms, None, domain, "1234", context.life))
}

#[track_caller]
fn is_refused(written: &str, words: &str) {
    let refused = check(written, "Acme");
    assert!(refused.as_ref().is_err_and(|e| e.contains(words)), "{written:?}: {refused:?}");
}

#[test]
fn a_text_without_a_place_for_the_code_is_refused() {
    for text in ["", "hello", "{brand}", "code", "_code_", "CODE"] {
        is_refused(text, "must contain {code}");
    }
}

#[test]
fn a_placeholder_that_nothing_fills_is_refused_by_name() {
    for (text, name) in [("{code} {hours}", "{hours}"), ("{Code}", "{Code}"), ("{code} {}", "{}")] {
        is_refused(text, name);
    }
    is_refused("{{code}}", "{{code}}");
    for text in ["{code} {", "{{ {code}", "{code"] {
        is_refused(text, "which nothing fills");
    }
}

#[test]
fn the_length_counts_with_everything_in_it() {
    let filler = |characters| format!("{}{{code}}", "ü".repeat(characters));
    assert!(check(&filler(LONGEST - 10), "").is_ok());
    assert!(check(&filler(LONGEST - 9), "").is_err_and(|e| e.contains("1601 characters")));
    assert!(check(&format!("{{brand}}{}", filler(LONGEST - 13)), "Acme").is_err());
    assert!(check(&format!("{{minutes}}{}", filler(LONGEST - 11)), "").is_err());
    let line = "\n\n@b.example #".len() + 10;
    assert!(with_domain(&filler(LONGEST - 10 - line), "", Some("b.example")).is_ok());
    assert!(with_domain(&filler(LONGEST - 9 - line), "", Some("b.example")).is_err());
}

#[test]
fn a_text_that_costs_more_than_it_seems_to_says_so() {
    let advice = |written: &str| {
        let text = Text::new(written, "Acme").0;
        advice_on(&text, None, CodeLength::SIX, Duration::from_secs(600))
    };
    let (full, long) = (format!("code {}{{code}}", "x".repeat(149)), "x".repeat(60));
    for text in [format!("{full}x"), format!("Ваш код {long}{{code}}")] {
        assert_eq!(advice(&text).as_deref(), Some("it is paid for as 2 text messages"), "{text}");
    }
    for text in [DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES, &full, "Ваш код для входа: {code}"]
    {
        assert_eq!(advice(text), None, "{text}");
    }
}
