use super::*;
use crate::template::{DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES};

fn check(written: &str, brand: &str) -> Result<String, String> {
    with_domain(written, brand, None)
}

fn with_domain(written: &str, brand: &str, domain: Option<&str>) -> Result<String, String> {
    let context =
        Context { brand: brand.into(), domain: domain.map(Into::into), life: Duration::from_secs(600) };
    check_text(written, &context).map(|text| text.finish(Channel::Sms, None, "1234", context.life))
}

#[track_caller]
fn is_refused(written: &str, words: &str) {
    let refused = check(written, "Acme");
    assert!(refused.as_ref().is_err_and(|e| e.contains(words)), "{written:?}: {refused:?}");
}

#[test]
fn the_brand_and_the_minutes_are_put_in() {
    let text = check("Hello from {brand}! Your code is: {code}, for {minutes} minutes", "Acme");
    assert_eq!(text.as_deref(), Ok("Hello from Acme! Your code is: 1234, for 10 minutes"));
    assert_eq!(check("_CODE_ ({brand})", "Acme").as_deref(), Ok("1234 (Acme)"));
}

#[test]
fn a_text_without_a_place_for_the_code_is_refused() {
    for text in ["", "hello", "{brand}", "code", "_code_", "CODE", "Hello\n@example.com #{code}"] {
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
        is_refused(text, "without");
    }
}

#[test]
fn a_control_character_is_refused_by_name_and_white_space_is_not() {
    for (text, name) in [("{code}\0", "'\\0'"), ("\u{1b}{code}", "'\\u{1b}'"), ("{code}\u{85}", "'\\u{85}'")]
    {
        is_refused(text, &format!("control character {name}"));
    }
    assert!(check("Code:\r\n\t{code}", "").is_ok());
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
fn the_line_for_browsers_is_the_last_and_names_one_site() {
    is_refused("{code}\n@example.com #{code}\nBye", "must be the last");
    is_refused("{code}\n@https://example.com #{code}", "must be a host name");
    let text = "{code}\n@example.com #{code}";
    assert_eq!(with_domain(text, "", Some("example.com")).as_deref(), Ok("1234\n\n@example.com #1234"));
    let refused = with_domain(text, "", Some("other.example"));
    assert!(refused.as_ref().is_err_and(|e| e.contains("\"other.example\"")), "{refused:?}");
}

fn advice(written: &str, tag: Option<&str>) -> Vec<String> {
    let locale = tag.and_then(Locale::parse);
    advice_on(&Text::new(written, "Acme", None).0, locale, CodeLength::SIX, Duration::from_secs(600))
}

#[track_caller]
fn is_one(advice: &[String], words: &str) {
    assert!(matches!(advice, [one] if one.contains(words)), "{words}: {advice:?}");
}

#[test]
fn a_short_text_with_the_word_needs_none() {
    let ours = [DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES, REDIS_VERSION_MESSAGE];
    for text in
        ["Your {brand} code is {code}", "Code: _CODE_", "Ihr Anmeldecode: {code}"].into_iter().chain(ours)
    {
        assert_eq!(advice(text, None), [""; 0], "{text}");
    }
}

#[test]
fn a_few_foreign_characters_are_named() {
    is_one(&advice("Code – {code} –", None), "'–', which");
    is_one(&advice("Code „{code}“", None), "'„', '“', which");
}

#[test]
fn another_script_is_no_mistake_unless_it_takes_two_messages() {
    assert_eq!(advice("Ваш код для входа: {code}", Some("ru")), [""; 0]);
    let long = format!("Ваш код {}{{code}}", "x".repeat(60));
    is_one(&advice(&long, Some("ru")), "as 2 text messages: it has 74 characters of UCS-2, of which 70");
}

#[test]
fn a_text_in_several_parts_says_what_it_costs_and_that_android_stops() {
    let [segments, android] = &advice(&format!("code {}{{code}}", "x".repeat(150)), None)[..] else {
        panic!("two pieces of advice");
    };
    assert!(segments.contains("2 text messages: it has 161 characters of GSM-7, of which 160"), "{segments}");
    assert!(android.contains("173 bytes"), "{android}");
}

#[test]
fn android_reads_140_bytes_with_the_hash() {
    let text = |characters| format!("code {}{{code}}", "x".repeat(characters));
    assert_eq!(advice(&text(140 - 5 - 6 - 12), None), [""; 0]);
    is_one(&advice(&text(141 - 5 - 6 - 12), None), "141 bytes");
}

#[test]
fn the_word_is_looked_for_in_english_and_where_no_language_is_said() {
    for tag in [None, Some("en"), Some("en-GB")] {
        is_one(&advice("Log in with {code}", tag), "\"code\" is missing");
        is_one(&advice("Log in with _CODE_", tag), "\"code\" is missing");
    }
    assert_eq!(advice("Su clave es {code}", Some("es")), [""; 0]);
}
