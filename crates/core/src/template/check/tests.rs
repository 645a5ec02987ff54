//! Which texts are refused, and which get advice because they cost more than they seem to.

use super::*;
use crate::template::LONGEST;

const LIFE: Duration = Duration::from_secs(600);

fn check(written: &str, brand: &str, domain: Option<&str>) -> Result<(), String> {
    let context = Context { brand: brand.into(), domain: domain.map(Into::into), life: LIFE };
    check_text(written, &context).map(drop)
}

#[test]
fn a_text_has_a_place_for_the_code_and_none_that_nothing_fills() {
    for (written, words) in [
        ("", "must contain {code}"),
        ("{brand} code _code_ CODE", "must contain {code}"),
        ("{code} {hours}", "{hours}"),
        ("{Code}", "{Code}"),
        ("{code} {}", "{}"),
        ("{{code}}", "{{code}}"),
        ("{code} {", "which nothing fills"),
        ("{{ {code}", "which nothing fills"),
        ("{code", "which nothing fills"),
    ] {
        let checked = check(written, "Acme", None);
        assert!(checked.as_ref().is_err_and(|error| error.contains(words)), "{written:?}: {checked:?}");
    }
}

#[test]
fn the_length_counts_with_everything_in_it() {
    let line = "\n\n@b.example #0000000000".len();
    for (written, brand, domain, filled_in) in [
        ("{code}", "", None, 10),
        ("{brand}{code}", "Acme", None, 14),
        ("{minutes}{code}", "", None, 12),
        ("{code}", "", Some("b.example"), 10 + line),
    ] {
        let after = |others| check(&format!("{}{written}", "ü".repeat(others)), brand, domain);
        assert_eq!(after(LONGEST - filled_in), Ok(()), "{written} {domain:?}");
        let too_long = after(LONGEST - filled_in + 1);
        assert!(too_long.is_err_and(|error| error.contains("1601 characters")), "{written} {domain:?}");
    }
}

#[test]
fn a_text_that_costs_more_than_it_seems_to_says_so() {
    let full = format!("code {}{{code}}", "x".repeat(149));
    for (written, advice) in [
        (DEFAULT_MESSAGE, None),
        (DEFAULT_MESSAGE_WITH_MINUTES, None),
        ("Ваш код для входа: {code}", None),
        (full.as_str(), None),
        (&*format!("{full}x"), Some("it is paid for as 2 text messages")),
        (&*format!("Ваш код {}{{code}}", "x".repeat(60)), Some("it is paid for as 2 text messages")),
    ] {
        let text = Text::new(written, "Acme").0;
        assert_eq!(advice_on(&text, None, CodeLength::SIX, LIFE).as_deref(), advice, "{written}");
    }
}
