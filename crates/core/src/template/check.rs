//! The texts of the settings: what each must have, how long it may become, and advice on those that can be sent.

use std::time::Duration;

use super::gsm7;
use super::templates::{Local, StandardMessage, Templates};
use super::text::{Context, Text, check_text};
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

/// The key of the text of `/api/send-otp`.
const MESSAGE: &str = "otp-message";

/// The text of the tutorial's `/send-code`.
const TUTORIAL_MESSAGE: &str = "Hello from {brand}! Your verification code is: {code}";

/// The lifetime of a code of the tutorial's API, whatever the settings say.
const TUTORIAL_LIFE: Duration = Duration::from_secs(600);

impl Templates {
    /// Checks every text. The findings of `Ok` are warnings, those of `Err` are errors.
    pub fn check(settings: &TemplateSettings) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let finding = |path: &str, text: &str, words| {
            let (path, text) = (path.to_owned(), text.to_owned());
            Finding { path, text, words }
        };
        let (brand, life) = (settings.brand.clone(), settings.life.max(TUTORIAL_LIFE));
        let context = Context { brand, domain: settings.webotp_domain.clone(), life };
        let mut read = |path: &str, channel: Option<Channel>, written: &str| {
            let checked = check_text(written, &context).map_err(|words| finding(path, written, words));
            let text = checked.map_err(|error| errors.push(error)).ok()?;
            if channel.is_none_or(|channel| channel == Channel::Sms) {
                let advice = advice_on(&text, context.domain.as_deref(), settings.code_length, settings.life);
                warnings.extend(advice.map(|words| finding(path, written, words)));
            }
            Some(text)
        };
        let message = read(MESSAGE, None, &settings.message);
        let mut local: Vec<Local> = Vec::with_capacity(settings.messages.len());
        for LocalText { path, channel, locale, text } in &settings.messages {
            let text = read(path, *channel, text);
            local.extend(text.map(|text| Local { channel: *channel, locale: *locale, text }));
        }
        let (Some(message), true) = (message, errors.is_empty()) else { return Err(errors) };
        let (tutorial, _) = Text::new(TUTORIAL_MESSAGE, &context.brand);
        let is_standard =
            [DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES].contains(&settings.message.as_str());
        let standard = if is_standard { standard_texts(&context) } else { Vec::new() };
        let (default_locale, by_country) = (settings.default_locale, settings.locale_by_country);
        Ok((Self { message, standard, local, default_locale, by_country, tutorial, context }, warnings))
    }
}

/// The standard message in every language but English, which is the message of the settings.
fn standard_texts(context: &Context) -> Vec<Local> {
    let foreign = StandardMessage::all().iter().filter(|message| !message.locale.is_english());
    let text = |written| Text::new(written, &context.brand).0;
    foreign.map(|m| Local { channel: None, locale: Some(m.locale), text: text(m.text) }).collect()
}

/// Advice on a text for text messages: its cost.
fn advice_on(text: &Text, domain: Option<&str>, length: CodeLength, life: Duration) -> Option<String> {
    let digits = "0".repeat(length.get().into());
    let parts = gsm7::parts_of(&text.finish(Channel::Sms, None, domain, &digits, life));
    (parts > 1).then(|| format!("it is paid for as {parts} text messages"))
}

#[cfg(test)]
mod tests;
