//! The languages that Twilio Verify is told.

use super::*;
use crate::template::StandardMessage;

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
        ("zh-HK", Some("zh-HK")),
        ("uk", Some("uk")),
        ("bg", None),
    ] {
        assert_eq!(of_verify(parsed(locale), Channel::Sms), expected, "{locale}");
    }
    for locale in ["zh-Hant", "zh-TW", "zh-Hant-TW"] {
        assert_eq!(of_verify(parsed(locale), Channel::Sms), Some("zh-HK"), "the same characters: {locale}");
        assert_eq!(of_verify(parsed(locale), Channel::Call), None, "another spoken language: {locale}");
    }
}

#[test]
fn verify_gets_all_languages_of_the_standard_message() {
    for message in StandardMessage::all() {
        assert!(of_verify(message.locale, Channel::Sms).is_some(), "{}", message.locale);
    }
}

fn parsed(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}
