use super::*;

#[test]
fn a_call_is_held_in_the_nearest_language_that_twilio_speaks() {
    for (locale, expected) in [
        ("de", Some("de-DE")),
        ("de-AT", Some("de-DE")),
        ("en", Some("en-US")),
        ("en-GB", Some("en-GB")),
        ("en-NZ", Some("en-US")),
        ("es-419", Some("es-ES")),
        ("es-MX", Some("es-MX")),
        ("pt-BR", Some("pt-BR")),
        ("pt", Some("pt-PT")),
        ("no", Some("nb-NO")),
        ("nb", Some("nb-NO")),
        ("zh", Some("zh-CN")),
        ("zh-Hans-SG", Some("zh-CN")),
        ("zh-Hant", Some("zh-TW")),
        ("zh-TW", Some("zh-TW")),
        ("zh-Hant-HK", Some("zh-HK")),
        ("el", None),
        ("tlh", None),
    ] {
        assert_eq!(spoken(parsed(locale)), expected, "{locale}");
    }
}

#[test]
fn verify_is_told_only_languages_that_it_has() {
    for (locale, expected) in [
        ("de-CH", Some("de")),
        ("en-US", Some("en")),
        ("en-GB", Some("en-GB")),
        ("pt-BR", Some("pt-BR")),
        ("pt-PT", Some("pt")),
        ("no", Some("nb")),
        ("fil", Some("tl")),
        ("zh-CN", Some("zh-CN")),
        ("zh-Hans", Some("zh")),
        ("zh-Hant", None),
        ("zh-TW", None),
        ("zh-HK", Some("zh-HK")),
        ("bg", None),
    ] {
        assert_eq!(of_verify(parsed(locale)), expected, "{locale}");
    }
}

#[test]
fn the_question_is_asked_in_a_language_that_has_a_voice() {
    assert_eq!(question(None), ("en-US", ENGLISH));
    assert_eq!(question(Some(parsed("el"))), ("en-US", ENGLISH));
    assert_eq!(question(Some(parsed("de-AT"))).0, "de-DE");
    assert!(question(Some(parsed("de-AT"))).1.contains("Taste"));
}

#[test]
fn every_listed_language_is_found_by_its_own_name() {
    for (tag, words) in SPOKEN {
        assert_eq!(question(Some(parsed(tag))), (*tag, *words));
    }
    for tag in VERIFY {
        assert_eq!(of_verify(parsed(tag)), Some(*tag));
    }
}

fn parsed(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}
