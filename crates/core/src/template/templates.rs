//! The texts of a service: which one a message has, in which language, with what filled in.

use std::cell::LazyCell;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{Context, Text, check_text};
use crate::domain::{Channel, Code, Locale, PhoneNumber, is_name};

pub struct Rendered {
    pub text: String,
    /// The language that it is in: the one that its text is kept under, else the default one. `None` when the
    /// settings say neither.
    pub locale: Option<Locale>,
}

#[derive(Debug, Clone, Default)]
pub struct Templates {
    pub(super) message: Text,
    /// The message in other languages, unless the operator wrote one.
    pub(super) standard: Vec<Local>,
    pub(super) local: Vec<Local>,
    /// Where neither the request nor the country leads to a text.
    pub(super) default_locale: Option<Locale>,
    /// The number's country chooses among the standard messages.
    pub(super) by_country: bool,
    pub(super) tutorial: Text,
    pub(super) context: Context,
}

impl Templates {
    /// One text for every wording, unchecked, without a brand.
    pub fn new(text: &str) -> Self {
        let (message, _) = Text::new(text, "");
        Self { tutorial: message.clone(), message, ..Self::default() }
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
        let of_country = || self.by_country.then(|| of_country(to)).flatten();
        let found = match wanted {
            Some(wanted) => StandardMessage::nearest(wanted)?,
            None => [of_service, of_country(), Some(Locale::ENGLISH)]
                .into_iter()
                .flatten()
                .find_map(StandardMessage::nearest)?,
        };
        let is_silent = channel == Channel::Call && !found.is_spoken();
        if is_silent { StandardMessage::nearest(Locale::ENGLISH) } else { Some(found) }
    }

    /// Whether the settings have a text in the language, or the standard message is in it.
    pub fn has_language(&self, locale: Locale) -> bool {
        let is_own = |tag| self.local.iter().any(|local| local.locale == Some(tag));
        StandardMessage::nearest(locale).is_some() || locale.lookup().any(is_own)
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
            Wording::Api => self.choose(channel, style.locale, to),
            Wording::Tutorial => (&self.tutorial, self.default_locale),
            Wording::Custom(written) => {
                (brought, _) = Text::new(written, &self.context.brand);
                (&brought, style.locale.or(self.default_locale))
            }
        };
        let domain = style.web_host.as_deref().or(self.context.domain.as_deref());
        let text = text.finish(channel, style.app_hash.as_ref(), domain, code.expose(), valid_for);
        Rendered { text, locale }
    }

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
            let locales = has_languages.then(|| [wanted, *of_country, self.default_locale]);
            let in_language = locales.into_iter().flatten().flatten().find_map(find_nearest);
            if let Some(local) = in_language.or_else(|| find(None)) {
                return (&local.text, local.locale.or(self.default_locale));
            }
        }
        let of_country = self.by_country.then(|| of_country.and_then(standard)).flatten();
        let otherwise = || self.default_locale.and_then(standard);
        of_country.or_else(otherwise).unwrap_or((&self.message, self.default_locale))
    }
}

/// The language that most people of the number's country understand.
pub fn of_country(number: PhoneNumber) -> Option<Locale> {
    number.region().and_then(Locale::of_region)
}

/// The text of a channel in a language; `None` is any.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) channel: Option<Channel>,
    pub(super) locale: Option<Locale>,
    pub(super) text: Text,
}

// The standard message in each language of Twilio's list for Verify.

#[derive(Debug, PartialEq, Eq)]
pub struct StandardMessage {
    pub locale: Locale,
    /// Has `{brand}` and `{code}`.
    pub text: &'static str,
    /// The sentence that asks not to share the code.
    pub warning: &'static str,
}

static ALL: LazyLock<Vec<StandardMessage>> =
    LazyLock::new(|| include_str!("languages.txt").lines().filter_map(StandardMessage::read).collect());

/// Languages that the voices of Twilio speak.
const SPOKEN: [&str; 16] =
    ["ca", "da", "de", "en", "es", "fi", "fr", "it", "ja", "ko", "nl", "no", "pl", "pt", "ru", "sv"];

impl StandardMessage {
    /// Whether a call can be in the language; else it is in English. Chinese is spoken in each of its forms.
    pub fn is_spoken(&self) -> bool {
        let language = self.locale.language().to_string();
        language == "zh" || SPOKEN.contains(&language.as_str())
    }

    /// All of them, by their tags.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Finds the nearest language: `de` for `de-AT`.
    pub fn nearest(locale: Locale) -> Option<&'static Self> {
        locale.lookup().find_map(|tag| ALL.iter().find(|message| message.locale == tag))
    }

    fn read(line: &'static str) -> Option<Self> {
        let (tag, texts) = line.split_once(' ').filter(|(tag, _)| *tag != "#")?;
        let (text, warning) = texts.split_once('|')?;
        Some(Self { locale: Locale::parse(tag)?, text: text.trim(), warning: warning.trim() })
    }
}

// Placeholders in texts: the only parser for the texts of messages, the templates of services and the requests of
// recipes. Each of them defines its placeholders and the meaning of a brace.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind<'a> {
    Text,
    /// `{name}`. The name is everything between two braces, perhaps nothing.
    Single(&'a str),
    /// `{{name}}`, with a name of 1 to 64 letters, digits, `_` and `-`.
    Double(&'a str),
    /// `{{` or `}}`, where it is not part of a [`PieceKind::Double`].
    DoubleBrace(char),
    Stray(char),
}

/// The stretches of a text, which together are the whole text, and what each is.
pub fn pieces(text: &str) -> impl Iterator<Item = (&str, PieceKind<'_>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (length, kind) = first(rest)?;
        let (raw, behind) = rest.split_at(length);
        rest = behind;
        Some((raw, kind))
    })
}

fn first(text: &str) -> Option<(usize, PieceKind<'_>)> {
    let brace = text.chars().next()?;
    if !matches!(brace, '{' | '}') {
        return Some((text.find(['{', '}']).unwrap_or(text.len()), PieceKind::Text));
    }
    if let Some(inside) = text.strip_prefix("{{") {
        let double = inside.split_once("}}").map(|(name, _)| name).filter(|name| is_name(name));
        return Some(
            double.map_or((2, PieceKind::DoubleBrace('{')), |name| (name.len() + 4, PieceKind::Double(name))),
        );
    }
    if text.starts_with("}}") {
        return Some((2, PieceKind::DoubleBrace('}')));
    }
    let inside = &text[1..];
    let end = inside.find(['{', '}']).filter(|end| brace == '{' && inside[*end..].starts_with('}'));
    Some(end.map_or((1, PieceKind::Stray(brace)), |end| (end + 2, PieceKind::Single(&inside[..end]))))
}

// What a request says about the form of its message.

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
    /// The web site whose form asked, in place of that of the settings.
    pub web_host: Option<Box<str>>,
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
