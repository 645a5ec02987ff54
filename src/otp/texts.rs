//! The texts of an engine.

use super::StartError;
use crate::config::SettingError;
use crate::config::kind::{Kind as _, quoted};
use crate::config::values::Brand;
use crate::domain::{Channel, Locale};
use crate::engine::SendOptions;
use crate::template::{Finding, LocalText, TemplateSettings, Templates, TextSource};

/// Checked texts, until the builder gets others.
#[derive(Clone)]
pub(super) struct Texts {
    checked: Option<Templates>,
    given: TextSettings,
}

/// The builder's settings for texts.
#[derive(Clone)]
pub(super) struct TextSettings {
    pub(super) brand: String,
    pub(super) message: String,
    pub(super) default_locale: Option<Locale>,
    pub(super) webotp_domain: Option<String>,
    local: Vec<LocalText>,
}

impl TextSettings {
    fn of(brand: String) -> Self {
        let message = "Your code is {code}".to_owned();
        Self { brand, message, default_locale: None, webotp_domain: None, local: Vec::new() }
    }

    /// Adds the text of a channel in a language.
    pub(super) fn add(&mut self, channel: Option<Channel>, locale: Option<Locale>, text: String) {
        self.local.push(LocalText { channel, locale, text });
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self { checked: None, given: TextSettings::of("onceward".to_owned()) }
    }
}

impl Texts {
    /// The texts of the server's settings.
    pub(super) fn checked(templates: Templates, brand: String) -> Self {
        Self { checked: Some(templates), given: TextSettings::of(brand) }
    }

    /// The brand.
    pub(super) fn brand(&self) -> &str {
        &self.given.brand
    }

    /// For a change: from then on the builder's own texts hold.
    pub(super) fn set(&mut self) -> &mut TextSettings {
        self.checked = None;
        &mut self.given
    }

    /// Checks every text; what works and could be better goes to the log.
    pub(super) fn build(self, code: SendOptions) -> Result<Templates, StartError> {
        if let Some(templates) = self.checked {
            return Ok(templates);
        }
        let TextSettings { brand, message, default_locale, webotp_domain, local } = self.given;
        let settings = TemplateSettings {
            brand: checked_brand(&brand)?,
            code_length: code.length,
            life: code.life,
            tutorial_message: message.clone(),
            message,
            messages: local,
            default_locale,
            webotp_domain,
        };
        match Templates::check(&settings) {
            Ok((templates, findings)) => {
                // The text of the tutorial's API is the same one again.
                for finding in findings.iter().filter(|f| f.source != TextSource::TutorialMessage) {
                    let (setting, text) = about(finding, &settings);
                    tracing::warn!(setting, text, detail = %finding.words, "configuration warning");
                }
                Ok(templates)
            }
            Err(findings) => Err(findings.first().map_or_else(
                || SettingError::new("message", "", "it cannot be used"),
                |finding| {
                    let (setting, text) = about(finding, &settings);
                    SettingError::new(setting, format!("{text:?}"), finding.words.clone())
                },
            ))?,
        }
    }
}

/// The brand, without spaces around it.
fn checked_brand(given: &str) -> Result<String, SettingError> {
    let problem = || format!("it must not be empty, and {}", Brand::accepted());
    let brand = Brand::read(given).filter(|brand| !brand.is_empty());
    brand.ok_or_else(|| SettingError::new("brand", quoted(given), problem()))
}

/// Which setting a finding is about, and its text.
fn about<'a>(finding: &Finding, settings: &'a TemplateSettings) -> (&'static str, &'a str) {
    match finding.source {
        TextSource::Message | TextSource::TutorialMessage => ("message", &settings.message),
        TextSource::Local(index) => {
            ("text", settings.messages.get(index).map(|local| local.text.as_str()).unwrap_or_default())
        }
        TextSource::WebOtpDomain => ("webotp_domain", settings.webotp_domain.as_deref().unwrap_or_default()),
    }
}
