//! Texts of messages: which one, in which language, with what filled in.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod check;
mod gsm7;
mod languages;
pub mod placeholder;
#[cfg(test)]
mod tests;
mod text;

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, Code, Locale, PhoneNumber};
use check::{Context, check_text};
use text::Text;

/// The text messages that this whole text is sent as, each of which is paid for.
pub fn parts_of(text: &str) -> u8 {
    u8::try_from(gsm7::size(text).segments).unwrap_or(u8::MAX)
}

pub use check::{Finding, LocalText, TemplateSettings};
pub use languages::StandardMessage;

/// The longest message that Twilio accepts, in characters.
pub const LONGEST: usize = 1_600;

/// Where the code goes. The second spelling is that of the Go framework.
pub const CODE_PLACES: [&str; 2] = ["{code}", "_CODE_"];

/// The default text of `/api/send-otp`.
pub const DEFAULT_MESSAGE: &str = "{brand}: your code is {code}.";

/// The default text where codes live for a minute or longer.
pub const DEFAULT_MESSAGE_WITH_MINUTES: &str = "{brand}: your code is {code}. It is valid for {minutes} min.";

/// The text of the Redis version, for a configuration with its keys. The start does not mention it.
pub const REDIS_VERSION_MESSAGE: &str = "OTP message is {code}";

/// The template, language and format of one verification's messages. Small: it is kept with every message that may have
/// to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageStyle {
    pub wording: Wording,
    /// In which language; `None` for the one of the number's country.
    pub locale: Option<Locale>,
    /// The Android app that is to read the message by itself: its hash comes at the end, in place of the line for
    /// browsers.
    pub app_hash: Option<AppHash>,
    /// The keys that a call presses when it is answered.
    pub send_digits: Option<SendDigits>,
    /// The sender's name, for a gateway that words the message itself. A text of ours has it already.
    pub sender_name: Option<Box<str>>,
}

/// Which texts a message has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Wording {
    /// The texts of `/api/send-otp`.
    #[default]
    Api,
    /// The texts of the tutorial's `/send-code`.
    Tutorial,
    /// This one, with `{code}` or `_CODE_` where the code goes, in the same form as the texts of the settings:
    /// [`Templates::check_custom`].
    Custom(Box<str>),
}

/// The hash by which Android's SMS Retriever finds the app that a message is for: 11 characters of base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHash(Box<str>);

impl AppHash {
    /// Reads a hash. `None` when it is not 11 characters of A-Z, a-z, 0-9, `+` and `/`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        (text.len() == 11 && text.bytes().all(is_base64)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys that a call presses once it is answered, an extension mostly: at most 32 digits, `*`, `#`, and `w` or `W` for
/// a wait of half a second or a second, as Twilio's calls know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendDigits(Box<str>);

impl SendDigits {
    pub const MOST: usize = 32;

    pub fn parse(text: &str) -> Option<Self> {
        let is_key = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#' | b'w' | b'W');
        let fits = !text.is_empty() && text.len() <= Self::MOST && text.bytes().all(is_key);
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub struct Rendered {
    pub text: String,
    /// The language that it is in: the one that its text is kept under, else the default one. `None` when the
    /// settings say neither.
    pub locale: Option<Locale>,
}

#[derive(Debug, Clone)]
pub struct Templates {
    api: Texts,
    tutorial: Text,
    context: Context,
}

impl Templates {
    /// One text for each wording, unchecked, without a brand.
    pub fn new(api: &str, tutorial: &str) -> Self {
        let context = Context { brand: "".into(), domain: None, life: Duration::ZERO };
        let text = |written| Text::new(written, "", None).0;
        let api = Texts {
            message: text(api),
            standard: Arc::default(),
            local: Arc::default(),
            default_locale: None,
            by_country: false,
        };
        Self { api, tutorial: text(tutorial), context }
    }

    /// Checks a text that a caller supplies: [`Wording::Custom`]. The error is a sentence that says what to correct. An
    /// unchecked text is filled in as far as possible.
    pub fn check_custom(&self, text: &str) -> Result<(), String> {
        check_text(text, &self.context).map(|_| ())
    }

    /// The standard message for a number: in the `wanted` language, in that of the service, in that of the number's country
    /// if the settings ask for it, else in English; a call in English too, if no voice speaks the language. `None` if there
    /// is none in the `wanted` language.
    pub fn standard(
        &self,
        wanted: Option<Locale>,
        of_service: Option<Locale>,
        (channel, to): (Channel, PhoneNumber),
    ) -> Option<&'static StandardMessage> {
        let english = || StandardMessage::nearest(Locale::ENGLISH);
        let found = if let Some(wanted) = wanted {
            StandardMessage::nearest(wanted)
        } else {
            let of_country = || self.api.by_country.then(|| of_country(to)).flatten();
            of_service
                .and_then(StandardMessage::nearest)
                .or_else(|| of_country().and_then(StandardMessage::nearest))
                .or_else(english)
        };
        found.and_then(|message| {
            if channel == Channel::Call && !message.is_spoken() { english() } else { Some(message) }
        })
    }

    /// The standard messages that numbers get where a request names no language.
    pub fn unasked(&self, of_service: Option<Locale>) -> impl Iterator<Item = &'static StandardMessage> {
        let only = of_service.or_else(|| (!self.api.by_country).then_some(Locale::ENGLISH));
        let only = only.and_then(StandardMessage::nearest);
        StandardMessage::all().iter().filter(move |message| only.is_none_or(|only| only == *message))
    }

    /// Whether the settings have a text in the language, or the standard message is in it.
    pub fn has_language(&self, locale: Locale) -> bool {
        let is_own = |tag| self.api.local.iter().any(|local| local.locale == Some(tag));
        StandardMessage::nearest(locale).is_some() || locale.lookup().any(is_own)
    }

    /// The text messages that one with this text is sent as, with a code of `length` characters.
    pub fn parts(&self, text: &str, app_hash: Option<&AppHash>, length: usize) -> usize {
        let (text, _) = Text::new(text, &self.context.brand, self.context.domain.as_ref());
        gsm7::size(&text.finish(Channel::Sms, app_hash, &"0".repeat(length), self.context.life)).segments
    }

    /// Renders the message for now.
    pub fn render(
        &self,
        style: &MessageStyle,
        channel: Channel,
        to: PhoneNumber,
        code: &Code,
        valid_for: Duration,
    ) -> Rendered {
        let brought;
        let (text, locale) = match &style.wording {
            Wording::Api => self.api.choose(channel, style.locale, to),
            Wording::Tutorial => (&self.tutorial, self.api.default_locale),
            Wording::Custom(written) => {
                (brought, _) = Text::new(written, &self.context.brand, self.context.domain.as_ref());
                (&brought, style.locale.or(self.api.default_locale))
            }
        };
        let text = text.finish(channel, style.app_hash.as_ref(), code.expose(), valid_for);
        Rendered { text, locale }
    }

    /// The text where no other fits, before anything but the brand is filled in.
    pub fn text<'a>(&'a self, wording: &'a Wording) -> &'a str {
        match wording {
            Wording::Api => &self.api.message.source,
            Wording::Tutorial => &self.tutorial.source,
            Wording::Custom(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
struct Texts {
    message: Text,
    /// The message in other languages, unless the operator wrote one.
    standard: Arc<[Local]>,
    local: Arc<[Local]>,
    /// Where neither the request nor the country leads to a text.
    default_locale: Option<Locale>,
    /// The number's country chooses among the standard messages.
    by_country: bool,
}

/// The language that most people of the number's country understand.
pub fn of_country(number: PhoneNumber) -> Option<Locale> {
    number.region().and_then(Locale::of_region)
}

/// The text of a channel in a language; `None` is any.
#[derive(Debug, Clone)]
struct Local {
    channel: Option<Channel>,
    locale: Option<Locale>,
    text: Text,
}

impl Texts {
    /// The text for this channel, and its language, if known. The first of:
    /// 1. the standard message in the `wanted` language, if no own text is in it;
    /// 2. an own text for the channel: in the `wanted` language, that of the number's country, the default one, none;
    /// 3. the same among own texts for any channel;
    /// 4. the standard message in the language of the number's country, if the settings ask for it, or in the default one;
    /// 5. the message.
    ///
    /// The country is computed only if there is a choice, because that costs microseconds.
    fn choose(&self, channel: Channel, wanted: Option<Locale>, to: PhoneNumber) -> (&Text, Option<Locale>) {
        if self.local.is_empty() && self.standard.is_empty() {
            return (&self.message, self.default_locale);
        }
        let standard = |locale: Locale| {
            let is_silent = |message: &StandardMessage| channel == Channel::Call && !message.is_spoken();
            let is_english = locale.is_english() || StandardMessage::nearest(locale).is_some_and(is_silent);
            if is_english && !self.standard.is_empty() {
                return Some((&self.message, Some(Locale::ENGLISH)));
            }
            let find = |tag| self.standard.iter().find(|local| local.locale == Some(tag));
            locale.lookup().find_map(find).map(|local| (&local.text, local.locale))
        };
        let is_own = |locale: Locale| {
            let mut tags = locale.lookup();
            tags.any(|tag| self.local.iter().any(|local| local.locale == Some(tag)))
        };
        if let Some(found) = wanted.filter(|wanted| !is_own(*wanted)).and_then(standard) {
            return found;
        }
        let of_country = LazyCell::new(|| of_country(to));
        for channel in [Some(channel), None] {
            let find = |locale| self.local.iter().find(|l| l.channel == channel && l.locale == locale);
            let find_nearest = |locale: Locale| locale.lookup().find_map(|tag| find(Some(tag)));
            let has_languages = self.local.iter().any(|l| l.channel == channel && l.locale.is_some());
            let in_language = has_languages.then(|| {
                wanted
                    .and_then(find_nearest)
                    .or_else(|| of_country.and_then(find_nearest))
                    .or_else(|| self.default_locale.and_then(find_nearest))
            });
            if let Some(local) = in_language.flatten().or_else(|| find(None)) {
                return (&local.text, local.locale.or(self.default_locale));
            }
        }
        let of_country = self.by_country.then(|| of_country.and_then(standard)).flatten();
        let otherwise = || self.default_locale.and_then(standard);
        of_country.or_else(otherwise).unwrap_or((&self.message, self.default_locale))
    }
}
