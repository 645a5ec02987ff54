//! Every text of the settings, checked at the start.

use std::sync::Arc;
use std::time::Duration;

use super::check::{self, Surroundings};
use super::choose::{Local, Texts};
use super::text::Text;
use super::{Finding, TemplateSettings, Templates, TextSource, advice, webotp};
use crate::domain::{Channel, Locale};

/// How long a code of the tutorial's API lives, whatever the settings say.
const TUTORIAL_LIFE: Duration = Duration::from_secs(600);

impl Templates {
    /// Checks every text. The findings of `Ok` are warnings, those of `Err` are errors.
    pub fn check(settings: &TemplateSettings) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut check = Check::of(settings);
        let message = check.text(TextSource::Message, None, None, &settings.message);
        let tutorial = check.text(TextSource::TutorialMessage, None, None, &settings.tutorial_message);
        let mut local: Vec<Local> = Vec::with_capacity(settings.messages.len());
        for (index, given) in settings.messages.iter().enumerate() {
            let source = TextSource::Local(index);
            let (channel, locale) = (given.channel, given.locale);
            if settings.messages[..index]
                .iter()
                .any(|other| (other.channel, other.locale) == (channel, locale))
            {
                check.error(source, "there is another text for the same channel and language".to_owned());
            }
            let text = check.text(source, channel, locale, &given.text);
            local.extend(text.map(|text| Local { channel, locale, text }));
        }
        let Check { errors, warnings, around, .. } = check;
        match (message, tutorial) {
            (Some(message), Some(tutorial)) if errors.is_empty() => {
                let default_locale = settings.default_locale;
                let api = Texts { message, local: local.into(), default_locale };
                Ok((Self { api, tutorial, around }, warnings))
            }
            _ => Err(errors),
        }
    }
}

struct Check<'a> {
    settings: &'a TemplateSettings,
    around: Surroundings,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn of(settings: &'a TemplateSettings) -> Self {
        let domain = settings.webotp_domain.as_deref();
        let bad_domain = domain.and_then(|domain| webotp::check_domain(domain).err());
        let around = Surroundings {
            brand: settings.brand.as_str().into(),
            // One that is wrong is said once, not again with each text.
            domain: domain.filter(|_| bad_domain.is_none()).map(Arc::from),
            life: settings.life.max(TUTORIAL_LIFE),
        };
        let errors = bad_domain.map(|words| Finding { source: TextSource::WebOtpDomain, words });
        Self { settings, around, errors: errors.into_iter().collect(), warnings: Vec::new() }
    }

    fn error(&mut self, source: TextSource, words: String) {
        self.errors.push(Finding { source, words });
    }

    fn text(
        &mut self,
        source: TextSource,
        channel: Option<Channel>,
        locale: Option<Locale>,
        written: &str,
    ) -> Option<Text> {
        match check::text(written, &self.around) {
            Ok(text) => {
                if channel.is_none_or(|channel| channel == Channel::Sms) {
                    let advice = advice::on(&text, locale, self.settings.code_length, self.settings.life);
                    self.warnings.extend(advice.into_iter().map(|words| Finding { source, words }));
                }
                Some(text)
            }
            Err(words) => {
                self.error(source, words);
                None
            }
        }
    }
}
