//! Texts of messages, and the name that they speak in.

use std::mem::take;

use serde_json::Value;

use super::super::keys::Keys;
use super::super::kinds::{Brand, Text};
use super::super::message::MessageTexts;
use super::super::reader::{Reader, Taken};
use super::super::report::{ConfigError, Report};
use super::super::value::{Given, Setting, quoted, shown_json};
use crate::domain::{Channel, Locale};
use crate::engine::SendOptions;
use crate::template::{Finding, LocalText, TemplateSettings, Templates, TextSource};

/// What stands for every channel in `otp-messages`.
const ANY: &str = "any";

/// `brand`, or else `service_name`, or else our own name. Empty counts as not given.
pub fn brand(brand: Given<Brand>, service_name: Given<Text>, r: &mut Reader<'_>) -> Brand {
    let service = r.take("service_name", service_name).filter(|name| !name.value.0.trim().is_empty());
    let empty = matches!(&brand, Given::Read(brand, _) if brand.0.is_empty());
    if !brand.is_absent() && !empty {
        return r.value("brand", brand);
    }
    let Some(service) = service else {
        let own = Brand::placeholder();
        r.row("brand", own.shown(), "the default");
        return own;
    };
    if let Some(value) = Brand::read(&service.value.0) {
        r.row("brand", value.shown(), &service.origin);
        return value;
    }
    r.report.error(ConfigError {
        subject: "service_name".to_owned(),
        given: Some(quoted(&service.value.0)),
        problem: format!("without a \"brand\" it is the brand, and that must be {}", Brand::accepted()),
        origin: Some(service.origin),
    });
    Brand::placeholder()
}

/// Checks every text. After an error, which stops the start anyway, empty ones.
pub fn templates(keys: &mut Keys, brand: &Brand, code: SendOptions, r: &mut Reader<'_>) -> Templates {
    let message = r.take("otp-message", take(&mut keys.otp_message));
    let tutorial = r.take("tutorial-message", take(&mut keys.tutorial_message));
    let local_given = !keys.otp_messages.is_absent();
    let local = r.take("otp-messages", take(&mut keys.otp_messages));
    let locale = r.take("default-locale", take(&mut keys.default_locale));
    let domain = r.take("webotp-domain", take(&mut keys.webotp_domain));
    let local = match (local, local_given) {
        (Some(local), _) => Some(local_texts(local, r.report)),
        (None, true) => None,
        (None, false) => Some(LocalTexts::default()),
    };
    let (Some(message), Some(tutorial), Some(local)) = (message, tutorial, local) else {
        return Templates::new("", "");
    };
    let settings = TemplateSettings {
        brand: brand.0.clone(),
        code_length: code.length,
        life: code.life,
        message: message.value.0,
        tutorial_message: tutorial.value.0,
        messages: local.texts,
        default_locale: locale.and_then(|locale| locale.value.0),
        webotp_domain: domain.as_ref().map(|domain| domain.value.0.clone()),
    };
    let place = |source: TextSource| match source {
        TextSource::Message => ("otp-message", settings.message.as_str(), message.origin.as_str()),
        TextSource::TutorialMessage => {
            ("tutorial-message", settings.tutorial_message.as_str(), tutorial.origin.as_str())
        }
        TextSource::Local(index) => (
            local.paths.get(index).map_or("otp-messages", String::as_str),
            settings.messages.get(index).map(|local| local.text.as_str()).unwrap_or_default(),
            local.origin.as_str(),
        ),
        TextSource::WebOtpDomain => (
            "webotp-domain",
            settings.webotp_domain.as_deref().unwrap_or_default(),
            domain.as_ref().map(|domain| domain.origin.as_str()).unwrap_or_default(),
        ),
    };
    match Templates::check(&settings) {
        Ok((templates, findings)) => {
            for Finding { source, words } in findings {
                let (key, text, origin) = place(source);
                r.report.warn(format!("{key} = {}: {words}; given by {origin}", quoted(text)));
            }
            templates
        }
        Err(findings) => {
            for Finding { source, words } in findings {
                let (key, text, origin) = place(source);
                r.report.error(ConfigError {
                    subject: key.to_owned(),
                    given: Some(quoted(text)),
                    problem: words,
                    origin: Some(origin.to_owned()),
                });
            }
            Templates::new("", "")
        }
    }
}

/// The texts of `otp-messages`, each with its path.
#[derive(Default)]
struct LocalTexts {
    texts: Vec<LocalText>,
    paths: Vec<String>,
    origin: String,
}

/// Reads the names of channels and languages. What is wrong is noted and left out, so that the rest is
/// checked all the same.
fn local_texts(given: Taken<MessageTexts>, report: &mut Report) -> LocalTexts {
    let Taken { value: MessageTexts(channels), origin } = given;
    let mut local = LocalTexts { origin, ..LocalTexts::default() };
    let mut wrong = |path: &str, given: Option<String>, problem: &str, origin: &str| {
        report.error(ConfigError {
            subject: path.to_owned(),
            given,
            problem: problem.to_owned(),
            origin: Some(origin.to_owned()),
        });
    };
    for (name, value) in channels {
        let path = format!("otp-messages.{name}");
        let channel = Channel::parse(&name);
        if channel.is_none() && !name.eq_ignore_ascii_case(ANY) {
            wrong(&path, None, "a channel is \"sms\", \"call\", \"whatsapp\" or \"any\"", &local.origin);
            continue;
        }
        let texts: Vec<(Option<String>, Value)> = match value {
            Value::Object(languages) => languages.into_iter().map(|(tag, text)| (Some(tag), text)).collect(),
            text => vec![(None, text)],
        };
        for (tag, text) in texts {
            let path = tag.as_ref().map_or_else(|| path.clone(), |tag| format!("{path}.{tag}"));
            let locale = tag.as_deref().map(Locale::parse);
            if locale == Some(None) {
                let problem = "a language is a tag such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)";
                wrong(&path, None, problem, &local.origin);
                continue;
            }
            let locale = locale.flatten();
            let Value::String(text) = text else {
                let problem = "it must be a text, or an object with one text for each language";
                wrong(&path, Some(shown_json(&text)), problem, &local.origin);
                continue;
            };
            if let Some(at) = local.texts.iter().position(|t| t.channel == channel && t.locale == locale) {
                let first = local.paths.get(at).map(String::as_str).unwrap_or_default();
                wrong(
                    &path,
                    None,
                    &format!("it means the same as {first}. Remove one of them"),
                    &local.origin,
                );
                continue;
            }
            local.texts.push(LocalText { channel, locale, text });
            local.paths.push(path);
        }
    }
    local
}
