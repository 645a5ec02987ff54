use super::*;

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
        ("uk", Some("uk")),
        ("bg", None),
    ] {
        assert_eq!(of_verify(parsed(locale)), expected, "{locale}");
    }
}

#[test]
fn every_listed_language_is_found_by_its_own_name() {
    for tag in VERIFY {
        assert_eq!(of_verify(parsed(tag)), Some(*tag));
    }
}

fn parsed(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}
