//! Texts of messages and of calls.

use std::time::Duration;

use onceward::domain::{Channel, Code, CodeLength, Locale, PhoneNumber};
use onceward::gateway::twiml;
use onceward::template::{AppHash, LONGEST, MessageStyle, TemplateSettings, Templates, Wording};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::support::{first_line, text};

const DIGITS: &str = "738291";

/// One line each for brand, web site, locale and app hash; a text in the rest.
pub fn templates(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let (brand, input) = first_line(input);
    let (domain, input) = first_line(input);
    let (locale, input) = first_line(input);
    let (hash, written) = first_line(input);
    let settings = TemplateSettings {
        brand: brand.to_owned(),
        code_length: CodeLength::SIX,
        life: Duration::from_secs(300),
        message: written.to_owned(),
        tutorial_message: written.to_owned(),
        messages: Vec::new(),
        default_locale: Locale::parse(locale),
        locale_by_country: false,
        webotp_domain: (!domain.is_empty()).then(|| domain.to_owned()),
    };
    let style = MessageStyle {
        wording: Wording::Api,
        locale: Locale::parse(locale),
        app_hash: AppHash::parse(hash),
        send_digits: None,
        sender_name: None,
    };
    unchecked(written, &style);
    match Templates::check(&settings) {
        Ok((templates, findings)) => {
            assert!(findings.iter().all(|finding| !finding.words.is_empty()));
            templates.check_custom(written).unwrap_or_else(|error| panic!("a good text, and yet: {error}"));
            good(&templates, &settings, &style);
        }
        Err(findings) => {
            assert!(!findings.is_empty() && findings.iter().all(|finding| !finding.words.is_empty()));
        }
    }
}

/// A caller's unchecked text: the template fills in what it can, and the size stays bounded.
fn unchecked(written: &str, style: &MessageStyle) {
    let style = MessageStyle { wording: Wording::Custom(written.into()), ..style.clone() };
    let templates = Templates::new("{code}", "{code}");
    for channel in Channel::ALL {
        let message = rendered(&templates, &style, channel);
        // The shortest placeholder has six characters, the longest value 18.
        assert!(message.len() <= 3 * written.len() + 300, "{} bytes from {}", message.len(), written.len());
        spoken(&message, style.locale);
    }
}

fn good(templates: &Templates, settings: &TemplateSettings, style: &MessageStyle) {
    let message = rendered(templates, style, Channel::Sms);
    assert!(message.contains(DIGITS), "no code in {message:?}");
    let length = message.chars().count();
    assert!(length <= LONGEST + 12, "{length} characters, and with an app hash at most 12 more");
    assert!(style.app_hash.is_some() || length <= LONGEST);
    match (&style.app_hash, &settings.webotp_domain) {
        (Some(hash), _) => assert!(message.ends_with(&format!("\n{}", hash.as_str()))),
        (None, Some(domain)) => {
            assert!(message.ends_with(&format!("\n\n@{domain} #{DIGITS}")), "{message:?}");
        }
        (None, None) => {}
    }
    if !settings.brand.contains(['{', '_']) {
        for left in ["{code}", "_CODE_", "{brand}", "{minutes}"] {
            assert!(!message.contains(left), "{left} is left in {message:?}");
        }
    }
    let call = rendered(templates, style, Channel::Call);
    assert!(call.contains("7. 3. 8. 2. 9. 1"), "{call:?}");
    assert!(spoken(&call, style.locale).contains("7. 3. 8. 2. 9. 1"));
    assert!(rendered(templates, style, Channel::WhatsApp).contains(DIGITS));
    for wording in [Wording::Api, Wording::Tutorial] {
        assert_eq!(templates.text(&wording), settings.message.replace("{brand}", &settings.brand));
    }
}

fn rendered(templates: &Templates, style: &MessageStyle, channel: Channel) -> String {
    let to = PhoneNumber::from_u64(14_155_550_123).expect("a number");
    let code = Code::parse(DIGITS).expect("a code");
    templates.render(style, channel, to, &code, Duration::from_secs(61)).text
}

/// The text of a call, parsed by a real XML reader: nothing in the text becomes markup.
fn spoken(message: &str, locale: Option<Locale>) -> String {
    let twiml = twiml::reading(message, locale);
    assert!(twiml.len() <= 14 * message.len() + 300, "{} bytes from {}", twiml.len(), message.len());
    let mut reader = Reader::from_str(&twiml);
    let (mut names, mut words) = (Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error}: {twiml}")) {
            Event::Start(start) | Event::Empty(start) => names.push(start.name().as_ref().to_owned()),
            Event::Text(text) => words.push_str(&text.xml10_content()),
            Event::GeneralRef(_) => words.push('&'),
            Event::Eof => break,
            Event::End(_) | Event::Decl(_) => {}
            other => panic!("{other:?} in {twiml}"),
        }
    }
    assert_eq!(names, ["Response", "Say", "Pause", "Say"], "{twiml}");
    assert!(words.chars().all(|c| !c.is_control()), "{twiml}");
    words
}
