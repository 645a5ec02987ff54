//! The texts of the settings: what each must have, how long it may become, and advice on those that can be sent.

use std::sync::Arc;
use std::time::Duration;

use super::gsm7::{self, Alphabet};
use super::languages::StandardMessage;
use super::templates::{Local, Templates, Texts};
use super::text::{Context, Text, check_domain, check_text};
use crate::domain::{Channel, CodeLength, Locale};

/// The default text of `/api/send-otp`.
pub const DEFAULT_MESSAGE: &str = "{brand}: your code is {code}.";

/// The default text where codes live for a minute or longer.
pub const DEFAULT_MESSAGE_WITH_MINUTES: &str = "{brand}: your code is {code}. It is valid for {minutes} min.";

/// The text of the Redis version, for a configuration with its keys. The start does not mention it.
pub const REDIS_VERSION_MESSAGE: &str = "OTP message is {code}";

/// Every text of a service, before it is checked.
#[derive(Debug, Clone)]
pub struct TemplateSettings {
    pub brand: String,
    /// The number of digits of a code.
    pub code_length: CodeLength,
    /// The lifetime of a code: `{minutes}`, rounded up.
    pub life: Duration,
    /// The text of `/api/send-otp` where `messages` has none that fits better.
    pub message: String,
    /// The text of the tutorial's `/send-code`.
    pub tutorial_message: String,
    /// Texts of single channels and languages.
    pub messages: Vec<LocalText>,
    /// The language where neither the request nor the number's country leads to one of the texts.
    pub default_locale: Option<Locale>,
    /// The number's country chooses the language of the standard message.
    pub locale_by_country: bool,
    /// The web site whose form the browser is to fill in by itself: the last line of a text message is then `@domain
    /// #code` (`WebOTP`).
    pub webotp_domain: Option<String>,
}

/// The text of one channel in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalText {
    /// Where the settings have it.
    pub path: String,
    pub channel: Option<Channel>,
    pub locale: Option<Locale>,
    pub text: String,
}

/// Something to say about one setting, as the end of a sentence or a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key of the setting, or the path of the text in it.
    pub path: String,
    pub text: String,
    pub words: String,
}

impl Finding {
    fn new(path: &str, text: &str, words: String) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), words }
    }
}

/// The key of the text of `/api/send-otp`.
const MESSAGE: &str = "otp-message";

/// The lifetime of a code of the tutorial's API, whatever the settings say.
const TUTORIAL_LIFE: Duration = Duration::from_secs(600);

impl Templates {
    /// Checks every text. The findings of `Ok` are warnings, those of `Err` are errors.
    pub fn check(settings: &TemplateSettings) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut check = Check::of(settings);
        let message = check.text(MESSAGE, None, &settings.message);
        let tutorial = check.text("tutorial-message", None, &settings.tutorial_message);
        let mut local: Vec<Local> = Vec::with_capacity(settings.messages.len());
        for (index, given) in settings.messages.iter().enumerate() {
            let (channel, locale) = (given.channel, given.locale);
            let is_same = |other: &LocalText| (other.channel, other.locale) == (channel, locale);
            if settings.messages[..index].iter().any(is_same) {
                let words = "there is another text for the same channel and language".to_owned();
                check.errors.push(Finding::new(&given.path, &given.text, words));
            }
            let text = check.text(&given.path, channel, &given.text);
            local.extend(text.map(|text| Local { channel, locale, text }));
        }
        let Check { errors, warnings, context, .. } = check;
        match (message, tutorial) {
            (Some(message), Some(tutorial)) if errors.is_empty() => {
                let is_standard =
                    [DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES].contains(&settings.message.as_str());
                let standard = if is_standard { standard_texts(&context) } else { Arc::default() };
                let (default_locale, by_country) = (settings.default_locale, settings.locale_by_country);
                let api = Texts { message, standard, local: local.into(), default_locale, by_country };
                Ok((Self { api, tutorial, context }, warnings))
            }
            _ => Err(errors),
        }
    }
}

/// The standard message in every language but English, which is the message of the settings.
fn standard_texts(context: &Context) -> Arc<[Local]> {
    let foreign = StandardMessage::all().iter().filter(|message| !message.locale.is_english());
    let text = |written| Text::new(written, &context.brand, context.domain.as_ref()).0;
    foreign.map(|m| Local { channel: None, locale: Some(m.locale), text: text(m.text) }).collect()
}

struct Check<'a> {
    settings: &'a TemplateSettings,
    context: Context,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn of(settings: &'a TemplateSettings) -> Self {
        let domain = settings.webotp_domain.as_deref();
        let bad_domain = domain.and_then(|domain| {
            let words = check_domain(domain).err()?;
            Some(Finding::new("webotp-domain", domain, words))
        });
        let context = Context {
            brand: settings.brand.as_str().into(),
            // A wrong domain is reported once, not again with each text.
            domain: domain.filter(|_| bad_domain.is_none()).map(Arc::from),
            life: settings.life.max(TUTORIAL_LIFE),
        };
        Self { settings, context, errors: bad_domain.into_iter().collect(), warnings: Vec::new() }
    }

    fn text(&mut self, path: &str, channel: Option<Channel>, written: &str) -> Option<Text> {
        match check_text(written, &self.context) {
            Ok(text) => {
                if channel.is_none_or(|channel| channel == Channel::Sms) {
                    let advice = advice_on(&text, self.settings.code_length, self.settings.life);
                    self.warnings.extend(advice.map(|words| Finding::new(path, written, words)));
                }
                Some(text)
            }
            Err(words) => {
                self.errors.push(Finding::new(path, written, words));
                None
            }
        }
    }
}

/// More foreign characters than this are another script, which needs them.
const REPLACEABLE: usize = 5;

/// Advice on a text for text messages: its cost.
fn advice_on(text: &Text, length: CodeLength, life: Duration) -> impl Iterator<Item = String> {
    let message = text.finish(Channel::Sms, None, &"0".repeat(length.get().into()), life);
    [alphabet(&message), segments(&message)].into_iter().flatten()
}

fn alphabet(message: &str) -> Option<String> {
    let foreign = gsm7::foreign(message);
    if foreign.is_empty() || foreign.len() > REPLACEABLE {
        return None;
    }
    let shown: Vec<_> = foreign.iter().map(|c| format!("{c:?}")).collect();
    let ((plain, _), (wide, _)) = (Alphabet::Gsm7.room(), Alphabet::Ucs2.room());
    Some(format!(
        "it contains {}, which the alphabet of text messages (GSM-7) lacks. So it is sent as UCS-2, of which {wide} \
         characters fit one message instead of {plain}",
        shown.join(", ")
    ))
}

fn segments(message: &str) -> Option<String> {
    let size = gsm7::size(message);
    let (room, _) = size.alphabet.room();
    let alphabet = match size.alphabet {
        Alphabet::Gsm7 => "GSM-7",
        Alphabet::Ucs2 => "UCS-2",
    };
    (size.segments > 1).then(|| {
        format!(
            "it is paid for as {} text messages: it has {} characters of {alphabet}, of which {room} fit one",
            size.segments, size.units
        )
    })
}

#[cfg(test)]
mod tests;
