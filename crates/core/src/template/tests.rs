//! The texts of a service, from its settings to the message.

use std::time::Duration;

use super::{AppHash, DEFAULT_MESSAGE, Rendered, SendDigits, StandardMessage, gsm7};
use super::{LocalText, MessageStyle, TemplateSettings, Templates};
use crate::domain::{Channel, Code, CodeLength, Locale, PhoneNumber};

const GERMAN: &str = "+491711234567";
const FRENCH: &str = "+33612345678";
const US: &str = "+14155552671";

fn settings() -> TemplateSettings {
    TemplateSettings {
        brand: "Acme".to_owned(),
        code_length: CodeLength::SIX,
        life: Duration::from_secs(300),
        message: "message code {code}".to_owned(),
        messages: Vec::new(),
        default_locale: None,
        locale_by_country: false,
        webotp_domain: None,
    }
}

fn text(channel: Option<Channel>, tag: &str, text: &str) -> LocalText {
    let text = format!("{text} code {{code}}");
    LocalText { path: tag.to_owned(), channel, locale: Locale::parse(tag), text }
}

/// Texts for every step of the look-up.
fn many() -> TemplateSettings {
    let messages = vec![
        text(Some(Channel::Sms), "de", "sms de"),
        text(Some(Channel::Sms), "de-AT", "sms de-AT"),
        text(Some(Channel::Sms), "en", "sms en"),
        text(Some(Channel::Sms), "", "sms"),
        text(Some(Channel::Call), "fr", "call fr"),
        text(None, "de", "any de"),
        text(None, "", "any"),
    ];
    TemplateSettings { messages, ..settings() }
}

/// In the language that the request asks for.
fn asked_in(tag: &str) -> MessageStyle {
    MessageStyle { locale: Locale::parse(tag), ..MessageStyle::default() }
}

fn message(settings: &TemplateSettings, style: &MessageStyle, channel: Channel, to: &str) -> Rendered {
    let (templates, _) = Templates::check(settings).expect("good texts");
    let to = PhoneNumber::parse(to, None).expect("a number");
    let code = Code::parse("123456").expect("a code");
    templates.render(style, channel, to, &code, Duration::from_secs(61))
}

#[test]
fn the_request_the_country_and_the_settings_choose_the_text_in_this_order() {
    let with_default = TemplateSettings { default_locale: Locale::parse("de-DE"), ..many() };
    let mut of_channels = many();
    of_channels.messages.retain(|text| text.channel.is_some());
    for (settings, asked, channel, to, words, tag) in [
        (&many(), "de", Channel::Sms, US, "sms de", "de"),
        (&many(), "de-at", Channel::Sms, US, "sms de-AT", "de-AT"),
        (&many(), "de-CH", Channel::Sms, US, "sms de", "de"),
        (&many(), "en-GB", Channel::Sms, GERMAN, "sms en", "en"),
        // Without a language, or with one that has no text, the country decides.
        (&many(), "", Channel::Sms, GERMAN, "sms de", "de"),
        (&many(), "", Channel::Sms, US, "sms en", "en"),
        (&many(), "ja", Channel::Sms, "+436641234567", "sms de-AT", "de-AT"),
        (&with_default, "", Channel::Sms, FRENCH, "sms de", "de"),
        (&many(), "", Channel::Sms, FRENCH, "sms", ""),
        // The texts for any channel come after those of the channel, and then the message.
        (&many(), "", Channel::Call, FRENCH, "call fr", "fr"),
        (&many(), "", Channel::Call, GERMAN, "any de", "de"),
        (&with_default, "", Channel::WhatsApp, FRENCH, "any de", "de"),
        (&many(), "", Channel::WhatsApp, US, "any", ""),
        (&of_channels, "", Channel::Call, US, "message", ""),
    ] {
        let said = message(settings, &asked_in(asked), channel, to);
        let digits = if channel == Channel::Call { "1. 2. 3. 4. 5. 6." } else { "123456" };
        assert_eq!(said.text, format!("{words} code {digits}"), "{asked} {channel} {to}");
        assert_eq!(said.locale, Locale::parse(tag), "{asked} {channel} {to}");
    }
}

#[test]
fn an_app_hash_is_eleven_characters_of_base64() {
    assert_eq!(AppHash::parse("FA+9qCX9/Su").as_ref().map(AppHash::as_str), Some("FA+9qCX9/Su"));
    for text in ["FA+9qCX9VS", "FA+9qCX9VSuu", "FA-9qCX9VSu", "FA+9qCX9VSü"] {
        assert_eq!(AppHash::parse(text), None, "{text:?}");
    }
}

#[test]
fn only_keys_and_waits_are_read() {
    let longest = "1".repeat(32);
    for text in ["ww1234#", "*0W9", &longest] {
        assert_eq!(SendDigits::parse(text).as_ref().map(SendDigits::as_str), Some(text));
    }
    for text in ["", "1 2", "12a", "+1", &format!("{longest}1")] {
        assert_eq!(SendDigits::parse(text), None, "{text:?}");
    }
}

/// The tags of Twilio's list of languages for Verify.
const TWILIO: [&str; 45] = [
    "af", "ar", "ca", "zh", "zh-CN", "zh-HK", "zh-TW", "hr", "cs", "da", "nl", "en", "en-GB", "et", "fi",
    "fr", "de", "el", "he", "hi", "hu", "id", "it", "ja", "kn", "ko", "lt", "ms", "mr", "nb", "pl", "pt-BR",
    "pt", "ro", "ru", "sk", "es", "sv", "tl", "te", "th", "tr", "uk", "vi", "iw",
];

#[test]
fn the_standard_message_is_in_every_language_of_twilios_list() {
    for tag in TWILIO {
        let locale = Locale::parse(tag).expect("a tag");
        let found = StandardMessage::nearest(locale).map(|message| message.locale.language());
        // Bokmål, Nynorsk and Norwegian find each other.
        let language = if tag == "nb" { Locale::parse("no").expect("a tag") } else { locale };
        assert_eq!(found, Some(language.language()), "{tag}");
    }
    assert!(StandardMessage::nearest(Locale::parse("nn").expect("a tag")).is_some());
    assert_eq!(StandardMessage::nearest(Locale::parse("eo").expect("a tag")), None);
}

#[test]
fn each_standard_message_fits_one_text_message() {
    let settings = TemplateSettings {
        brand: "Acme Savings Bank".to_owned(),
        message: DEFAULT_MESSAGE.to_owned(),
        ..settings()
    };
    for standard in StandardMessage::all() {
        let tag = standard.locale.to_string();
        for place in ["{brand}", "{code}"] {
            assert_eq!(standard.text.matches(place).count(), 1, "{tag}: {place}");
        }
        assert!(!standard.warning.is_empty(), "{tag}");
        let Rendered { text, locale } = message(&settings, &asked_in(&tag), Channel::Sms, US);
        // The longest code has ten digits.
        let text = text.replace("123456", "1234567890");
        assert!(text.contains("1234567890") && text.contains("Acme Savings Bank"), "{tag}: {text}");
        assert_eq!(gsm7::parts_of(&text), 1, "{tag}: {text}");
        assert_eq!(locale, Some(standard.locale), "{tag}");
        let with_warning =
            format!("{}. {}", standard.text.trim_end_matches(['.', '।', '。']), standard.warning);
        let text = with_warning.replace("{brand}", "Twenty Characters Co").replace("{code}", "123456");
        assert_eq!(gsm7::parts_of(&text), 1, "{tag}: {text}");
    }
}

#[test]
fn a_standard_message_has_the_language_of_the_request_or_the_country() {
    let standard = TemplateSettings { message: DEFAULT_MESSAGE.to_owned(), ..settings() };
    let by_country = TemplateSettings { locale_by_country: true, ..standard.clone() };
    let own = TemplateSettings { message: "Own {code}".to_owned(), ..by_country.clone() };
    let german = TemplateSettings {
        messages: vec![text(None, "de", "own de")],
        default_locale: Locale::parse("de"),
        ..by_country.clone()
    };
    for (settings, asked, words) in [
        (standard, "", "Acme: your code is"),
        (by_country, "", "Acme : votre code est"),
        (own, "", "Own "),
        (german.clone(), "en", "Acme: your code is"),
        (german, "en-GB", "Acme: your code is"),
    ] {
        let said = message(&settings, &asked_in(asked), Channel::Sms, FRENCH);
        assert!(said.text.starts_with(words), "{asked}: {}", said.text);
        assert!(asked.is_empty() || said.locale == Some(Locale::ENGLISH), "{asked}");
    }
}
