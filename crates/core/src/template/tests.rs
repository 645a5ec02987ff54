//! The texts of a service, from its settings to the message.

use std::time::Duration;

use super::{AppHash, DEFAULT_MESSAGE, Rendered, SendDigits, StandardMessage, gsm7};
use super::{LocalText, MessageStyle, TemplateSettings, Templates, Wording};
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

struct Asking {
    templates: Templates,
    style: MessageStyle,
}

fn with(settings: &TemplateSettings) -> Asking {
    let (templates, _) = Templates::check(settings).expect("good texts");
    Asking { templates, style: MessageStyle::default() }
}

impl Asking {
    fn asked_in(mut self, tag: &str) -> Self {
        self.style.locale = Locale::parse(tag);
        self
    }

    fn message(&self, channel: Channel, to: &str) -> Rendered {
        let to = PhoneNumber::parse(to, None).expect("a number");
        let code = Code::parse("123456").expect("a code");
        self.templates.render(&self.style, channel, to, &code, Duration::from_secs(61))
    }

    /// Fails unless a message is this text, in this language.
    #[track_caller]
    fn says(&self, channel: Channel, to: &str, expected: &str, tag: &str) {
        let said = self.message(channel, to);
        assert_eq!((said.text.as_str(), said.locale), (expected, Locale::parse(tag)));
    }
}

#[test]
fn the_requested_language_goes_before_that_of_the_country() {
    with(&many()).asked_in("de").says(Channel::Sms, US, "sms de code 123456", "de");
    with(&many()).asked_in("de-at").says(Channel::Sms, US, "sms de-AT code 123456", "de-AT");
    with(&many()).asked_in("de-CH").says(Channel::Sms, US, "sms de code 123456", "de");
    with(&many()).asked_in("en-GB").says(Channel::Sms, GERMAN, "sms en code 123456", "en");
}

#[test]
fn without_one_the_country_decides() {
    with(&many()).says(Channel::Sms, GERMAN, "sms de code 123456", "de");
    with(&many()).says(Channel::Sms, US, "sms en code 123456", "en");
    with(&many()).asked_in("ja").says(Channel::Sms, "+436641234567", "sms de-AT code 123456", "de-AT");
}

#[test]
fn then_the_default_language_and_then_the_text_without_one() {
    with(&many()).says(Channel::Sms, FRENCH, "sms code 123456", "");
    let settings = TemplateSettings { default_locale: Locale::parse("de-DE"), ..many() };
    with(&settings).says(Channel::Sms, FRENCH, "sms de code 123456", "de");
    with(&settings).says(Channel::WhatsApp, FRENCH, "any de code 123456", "de");
}

#[test]
fn then_the_texts_for_any_channel_and_then_the_message() {
    with(&many()).says(Channel::Call, FRENCH, "call fr code 1. 2. 3. 4. 5. 6.", "fr");
    with(&many()).says(Channel::Call, GERMAN, "any de code 1. 2. 3. 4. 5. 6.", "de");
    with(&many()).says(Channel::WhatsApp, US, "any code 123456", "");
    let mut settings = many();
    settings.messages.retain(|text| text.channel.is_some());
    with(&settings).says(Channel::Call, US, "message code 1. 2. 3. 4. 5. 6.", "");
}

#[test]
fn a_text_that_is_brought_along_is_filled_in_like_the_others() {
    let settings = TemplateSettings { webotp_domain: Some("example.com".to_owned()), ..many() };
    let mut asking = with(&settings).asked_in("de");
    asking.style.wording = Wording::Custom("{brand}: _CODE_, {minutes} min {x}".into());
    asking.says(Channel::Sms, GERMAN, "Acme: 123456, 2 min {x}\n\n@example.com #123456", "de");
    asking.style.app_hash = AppHash::parse("FA+9qCX9VSu");
    asking.says(Channel::Sms, GERMAN, "Acme: 123456, 2 min {x}\nFA+9qCX9VSu", "de");
}

#[test]
fn an_app_hash_is_eleven_characters_of_base64() {
    assert_eq!(AppHash::parse("FA+9qCX9/Su").as_ref().map(AppHash::as_str), Some("FA+9qCX9/Su"));
    for text in ["", "FA+9qCX9VS", "FA+9qCX9VSuu", "FA-9qCX9VSu", "FA+9qCX9VS=", "FA+9qCX9VSü"] {
        assert_eq!(AppHash::parse(text), None, "{text:?}");
    }
}

#[test]
fn only_keys_and_waits_are_read() {
    let longest = "1".repeat(32);
    for text in ["1", "ww1234#", "*0W9", &longest] {
        assert_eq!(SendDigits::parse(text).as_ref().map(SendDigits::as_str), Some(text));
    }
    let longer = "1".repeat(33);
    for text in ["", "1 2", "12a", "+1", "1,2", &longer] {
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
        let Rendered { text, locale } = with(&settings).asked_in(&tag).message(Channel::Sms, US);
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
fn a_request_for_english_goes_before_the_language_of_the_country() {
    let settings = TemplateSettings {
        message: DEFAULT_MESSAGE.to_owned(),
        messages: vec![text(None, "de", "own de")],
        default_locale: Locale::parse("de"),
        locale_by_country: true,
        ..settings()
    };
    for tag in ["en", "en-GB"] {
        let asking = with(&settings).asked_in(tag);
        let said = asking.message(Channel::Sms, FRENCH);
        assert!(said.text.starts_with("Acme: your code is"), "{tag}: {}", said.text);
        assert_eq!(said.locale, Some(Locale::ENGLISH));
    }
}

#[test]
fn the_country_chooses_the_standard_language_only_where_that_is_asked_for() {
    let standard = TemplateSettings { message: DEFAULT_MESSAGE.to_owned(), ..settings() };
    let by_country = TemplateSettings { locale_by_country: true, ..standard.clone() };
    let own = TemplateSettings { message: "Own {code}".to_owned(), ..by_country.clone() };
    for (settings, words) in
        [(standard, "Acme: your code is"), (by_country, "Acme : votre code est"), (own, "Own ")]
    {
        let message = with(&settings).message(Channel::Sms, FRENCH);
        assert!(message.text.starts_with(words), "{}", message.text);
    }
}
