//! The text of one message: which, in which language, with what in its places.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Shelf, Template};
use crate::config::services::rules;
use crate::config::services::template::{Place, places};
use crate::domain::{Channel, Locale, PhoneNumber, Sid};
use crate::registry::{Origin, Registry, Service};
use crate::template::{CODE_PLACES, Wording};

/// What a message says where nobody chooses a template.
const PLAIN: &str = "Your {friendly_name} verification code is: {code}";

/// What is added where a service warns.
const WARNING: &str = "Do not tell it to anybody. We never ask for it.";

/// What is put into a place of a template, in characters.
const VALUE_LONGEST: usize = 128;

/// Values of one request.
const VALUES_MOST: usize = 32;

/// What a request says about the text of its message.
#[derive(Debug, Clone, Copy)]
pub struct TextWish<'a> {
    /// Which template; `None` for the service's.
    pub template: Option<&'a Sid>,
    /// What its own places are filled in with, by their names.
    pub substitutions: &'a BTreeMap<String, String>,
    /// What the message calls the sender in place of the service's name.
    pub friendly_name: Option<&'a str>,
    /// In which language.
    pub locale: Option<Locale>,
    /// How it is sent.
    pub channel: Channel,
    /// Whom it goes to: the country may lead to a language.
    pub to: PhoneNumber,
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is no such template.
    #[error("there is no template {0}")]
    UnknownTemplate(Sid),
    /// The template is for other channels.
    #[error("the template {template} is not for the channel {:?}", channel.as_str())]
    OtherChannel {
        /// Which.
        template: Sid,
        /// What was asked for.
        channel: Channel,
    },
    /// The template has a place that nothing was given for.
    #[error("the template's place {{{{{0}}}}} needs a value in TemplateCustomSubstitutions")]
    MissingSubstitution(String),
    /// A value cannot be put into a message.
    #[error("the value for {name} {why}")]
    BadValue {
        /// Which.
        name: String,
        /// What is accepted.
        why: String,
    },
    /// More values than any template has places.
    #[error("there are more than {VALUES_MOST} values")]
    TooManyValues,
    /// The text cannot be sent once everything is in it.
    #[error("the text cannot be sent: {0}")]
    Text(String),
}

impl Registry {
    /// The text of a message, with `{code}` where the code goes; for the service of the compatible routes the texts of the
    /// settings, unless the request asks for something else.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn text(&self, service: &Service, wish: &TextWish<'_>) -> Result<Wording, TextError> {
        let templates = &self.0.templates;
        check_values(wish)?;
        let template = template(templates, service, wish)?;
        if template.is_none() && service.origin == Origin::Default && wish.friendly_name.is_none() {
            return Ok(Wording::Api);
        }
        let name = wish.friendly_name.unwrap_or(&service.friendly_name);
        let written = template.map_or(PLAIN, |template| choose(template, service, wish));
        let value = |own: &str| wish.substitutions.get(own).map(String::as_str);
        let mut text = filled(written, name, value)?;
        // Values that are harmless by themselves must not be a place of the code together, or a line for browsers.
        if forms(&text) != forms(&filled(written, "x", |_| Some("x"))?) {
            let why = "must not make a code or a line for browsers together with others".to_owned();
            return Err(TextError::BadValue { name: "TemplateCustomSubstitutions".to_owned(), why });
        }
        if service.do_not_share_warning_enabled && wish.channel == Channel::Sms {
            text = with_warning(&text);
        }
        templates.checks.check_custom(&text).map_err(TextError::Text)?;
        Ok(Wording::Custom(Arc::from(text)))
    }
}

/// The text with everything in its places but the code.
fn filled<'v>(
    written: &str,
    name: &str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, TextError> {
    let mut text = String::with_capacity(written.len() + 64);
    for place in places(written) {
        match place {
            Place::Text(literal) => text.push_str(literal),
            Place::Code => text.push_str("{code}"),
            Place::FriendlyName => text.push_str(name),
            Place::Own(own) => match value(own) {
                Some(value) => text.push_str(value),
                None => return Err(TextError::MissingSubstitution(own.to_owned())),
            },
        }
    }
    Ok(text)
}

/// How often the code is in a text, and how many lines browsers would read.
fn forms(text: &str) -> (usize, usize) {
    let codes = CODE_PLACES.iter().map(|place| text.matches(place).count()).sum();
    (codes, text.lines().filter(|line| line.trim_start().starts_with('@')).count())
}

/// The template that was asked for, or the service's, if it is for the channel.
fn template<'a>(
    shelf: &'a Shelf,
    service: &Service,
    wish: &TextWish<'_>,
) -> Result<Option<&'a Template>, TextError> {
    let Some(sid) = wish.template else {
        let own = service.default_template.and_then(|sid| shelf.get(&sid));
        return Ok(own
            .map(|template| &**template)
            .filter(|template| template.channels.contains(&wish.channel)));
    };
    let template = shelf.get(sid).ok_or(TextError::UnknownTemplate(*sid))?;
    if template.channels.contains(&wish.channel) {
        Ok(Some(template))
    } else {
        Err(TextError::OtherChannel { template: *sid, channel: wish.channel })
    }
}

/// The text in the wanted language, in that of the number's country, in the service's, in the template's.
fn choose<'a>(template: &'a Template, service: &Service, wish: &TextWish<'_>) -> &'a str {
    let in_locale = |locale: Locale| template.translations.iter().find(|text| text.locale == locale);
    let nearest = |locale: Locale| locale.lookup().find_map(in_locale);
    let chosen = wish
        .locale
        .and_then(nearest)
        // The country costs microseconds, and says nothing where there is one language.
        .or_else(|| {
            (template.translations.len() > 1).then(|| of_country(wish.to)).flatten().and_then(nearest)
        })
        .or_else(|| service.locale.and_then(nearest))
        .or_else(|| in_locale(template.default_locale))
        .or_else(|| template.translations.first());
    chosen.map_or(PLAIN, |translation| &translation.text)
}

fn of_country(number: PhoneNumber) -> Option<Locale> {
    number.region().and_then(Locale::of_region)
}

/// What callers pass ends up between our own words: it must not be able to be a place, or a line, of its own.
fn check_values(wish: &TextWish<'_>) -> Result<(), TextError> {
    if wish.substitutions.len() > VALUES_MOST {
        return Err(TextError::TooManyValues);
    }
    let bad = |name: &str, why| TextError::BadValue { name: name.to_owned(), why };
    if let Some(name) = wish.friendly_name {
        rules::friendly_name(name).map_err(|why| bad("CustomFriendlyName", why))?;
    }
    for (name, value) in wish.substitutions {
        if value.chars().count() > VALUE_LONGEST {
            return Err(bad(name, format!("must have at most {VALUE_LONGEST} characters")));
        }
        rules::line(value).map_err(|why| bad(name, why))?;
    }
    Ok(())
}

/// The warning comes behind the text, and before a line for browsers, which must be the last.
fn with_warning(text: &str) -> String {
    let (body, line) = match text.trim_end().rsplit_once('\n') {
        Some((body, line)) if line.trim_start().starts_with('@') => (body.trim_end(), Some(line)),
        _ => (text.trim_end(), None),
    };
    let stop = if body.ends_with(['.', '!', '?']) { "" } else { "." };
    let line = line.map(|line| format!("\n{line}")).unwrap_or_default();
    format!("{body}{stop} {WARNING}{line}")
}
