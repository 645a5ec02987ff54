//! Texts of messages.

use serde_json::{Map, Value};

use super::kind::{quoted, shown_json};
use super::load::Context;
use super::settings::Inputs;
use crate::domain::{Channel, Locale};
use crate::engine::SendOptions;
use crate::template::{Finding, LocalText, TemplateSettings, Templates, TextSource};

/// What stands for every channel in `otp-messages`.
const ANY: &str = "any";

/// Checks every text. After an error, which stops the start anyway, empty ones.
pub fn templates(inputs: &Inputs, brand: &str, code: SendOptions, c: &mut Context) -> Templates {
    let local = inputs.otp_messages.as_ref().map(|texts| local_texts(texts, c)).unwrap_or_default();
    if ["otp-message", "tutorial-message", "otp-messages"].iter().any(|key| c.is_wrong(key)) {
        return Templates::new("", "");
    }
    let (paths, messages): (Vec<String>, Vec<LocalText>) = local.into_iter().unzip();
    let settings = TemplateSettings {
        brand: brand.to_owned(),
        code_length: code.length,
        life: code.life,
        message: inputs.otp_message.clone(),
        tutorial_message: inputs.tutorial_message.clone(),
        messages,
        default_locale: inputs.default_locale,
        webotp_domain: inputs.webotp_domain.clone(),
    };
    let place = |source: TextSource| match source {
        TextSource::Message => ("otp-message", "otp-message", settings.message.as_str()),
        TextSource::TutorialMessage => {
            ("tutorial-message", "tutorial-message", settings.tutorial_message.as_str())
        }
        TextSource::Local(index) => (
            "otp-messages",
            paths.get(index).map_or("otp-messages", String::as_str),
            settings.messages.get(index).map(|local| local.text.as_str()).unwrap_or_default(),
        ),
        TextSource::WebOtpDomain => {
            ("webotp-domain", "webotp-domain", settings.webotp_domain.as_deref().unwrap_or_default())
        }
    };
    match Templates::check(&settings) {
        Ok((templates, findings)) => {
            for Finding { source, words } in findings {
                let (key, path, text) = place(source);
                let origin = c.origin(key);
                c.report.warn(format!("{path} = {}: {words}; given by {origin}", quoted(text)));
            }
            templates
        }
        Err(findings) => {
            for Finding { source, words } in findings {
                let (key, path, text) = place(source);
                let origin = c.origin(key);
                c.report.wrong(path, quoted(text), words, origin);
            }
            Templates::new("", "")
        }
    }
}

/// The texts of `otp-messages`, each with its path. What is wrong is noted and left out, so that the rest is checked all the
/// same.
fn local_texts(channels: &Map<String, Value>, c: &mut Context) -> Vec<(String, LocalText)> {
    let mut local: Vec<(String, LocalText)> = Vec::new();
    let origin = c.origin("otp-messages");
    let mut wrong = |path: &str, given: Option<String>, problem: &str| {
        c.report.wrong(path, given, problem, origin.clone());
    };
    for (name, value) in channels {
        let path = format!("otp-messages.{name}");
        let channel = Channel::parse(name);
        if channel.is_none() && !name.eq_ignore_ascii_case(ANY) {
            wrong(&path, None, "a channel is \"sms\", \"call\", \"whatsapp\" or \"any\"");
            continue;
        }
        let texts: Vec<(Option<&str>, &Value)> = match value {
            Value::Object(languages) => {
                languages.iter().map(|(tag, text)| (Some(tag.as_str()), text)).collect()
            }
            text => vec![(None, text)],
        };
        for (tag, text) in texts {
            let path = tag.map_or_else(|| path.clone(), |tag| format!("{path}.{tag}"));
            let locale = tag.map(Locale::parse);
            if locale == Some(None) {
                wrong(&path, None, "a language is a tag such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)");
                continue;
            }
            let locale = locale.flatten();
            let Value::String(text) = text else {
                let problem = "it must be a text, or an object with one text for each language";
                wrong(&path, Some(shown_json(text)), problem);
                continue;
            };
            if let Some((first, _)) = local.iter().find(|(_, t)| t.channel == channel && t.locale == locale) {
                wrong(&path, None, &format!("it means the same as {first}. Remove one of them"));
                continue;
            }
            local.push((path, LocalText { channel, locale, text: text.clone() }));
        }
    }
    local
}
