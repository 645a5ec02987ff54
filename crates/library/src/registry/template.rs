//! Texts of messages: templates that services choose by id, and the text of one message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::handle::Result;
use super::{Item, Origin, Registry, RegistryError, Service, Template};
use crate::config::templates::{filled, shortest};
use crate::config::{friendly_name, one_line};
use crate::domain::{Channel, Locale, PhoneNumber, Sid, mask_number};
use crate::template::{CODE_PLACES, StandardMessage, Wording, of_country};

/// The longest value of a place, in characters.
const VALUE_LONGEST: usize = 128;

/// Values of one request.
const VALUES_MOST: usize = 32;

impl Registry {
    /// Every template: the built-in ones, then those of config.json in its order. They do not change while the program
    /// runs.
    pub fn templates(&self) -> &[Template] {
        &self.inner.templates
    }

    fn template(&self, sid: &Sid) -> Result<&Template> {
        let found = self.templates().iter().find(|template| template.sid == *sid);
        found.ok_or(RegistryError::NotFound(Item::Template))
    }

    /// The requested template, or that of the service if it is for the channel.
    fn requested(
        &self,
        service: &Service,
        options: &TextOptions<'_>,
    ) -> Result<Option<&Template>, TextError> {
        let is_for_channel = |template: &&Template| template.channels.contains(&options.channel);
        let Some(sid) = options.template else {
            let own = service.settings.default_template.and_then(|sid| self.template(&sid).ok());
            return Ok(own.filter(is_for_channel));
        };
        let template = self.template(sid).map_err(|_| TextError::UnknownTemplate(*sid))?;
        let other = TextError::OtherChannel { template: *sid, channel: options.channel };
        Some(template).filter(is_for_channel).map(Some).ok_or(other)
    }
}

/// The parameters of a request that decide the text of its message.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions<'a> {
    /// `None` for the service's template.
    pub template: Option<&'a Sid>,
    /// Values of the template's own places, by their names.
    pub substitutions: &'a BTreeMap<String, String>,
    /// Replaces the service's name in the message.
    pub friendly_name: Option<&'a str>,
    pub locale: Option<Locale>,
    pub channel: Channel,
    /// The recipient, whose country may decide the language.
    pub to: PhoneNumber,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("there is no template {0}")]
    UnknownTemplate(Sid),
    #[error("the template {template} is not for the channel {:?}", channel.as_str())]
    OtherChannel { template: Sid, channel: Channel },
    /// The template has a place that nothing was given for.
    #[error("the template's place {{{{{0}}}}} needs a value in TemplateCustomSubstitutions")]
    MissingSubstitution(String),
    /// There is no standard message in the language.
    #[error("there is no text in {0}; name a template that has it, or leave it out")]
    OtherLanguage(Locale),
    /// A value cannot be put into a message.
    #[error("the value for {name} {why}")]
    BadValue { name: String, why: String },
    /// More values than any template has places.
    #[error("there are more than {VALUES_MOST} values")]
    TooManyValues,
    /// The text cannot be sent once everything is in it.
    #[error("the text cannot be sent: {0}")]
    Text(String),
}

impl Registry {
    /// The text of a message, with `{code}` where the code goes, and its language; for the service of the compatible routes
    /// the texts of the settings, unless the request asks for something else.
    pub fn text(
        &self,
        service: &Service,
        options: &TextOptions<'_>,
    ) -> Result<(Wording, Option<Locale>), TextError> {
        let checks = &self.inner.checks;
        check_values(options)?;
        let template = self.requested(service, options)?;
        if template.is_none() && service.origin == Origin::Default && options.friendly_name.is_none() {
            return match options.locale.filter(|locale| !checks.has_language(*locale)) {
                Some(other) => Err(TextError::OtherLanguage(other)),
                None => Ok((Wording::Api, options.locale)),
            };
        }
        let name = options.friendly_name.unwrap_or(&service.settings.friendly_name);
        let chosen = template.and_then(|template| choose(template, service, options));
        let (written, locale) = if let Some((locale, text)) = chosen {
            (Cow::Borrowed(&**text), *locale)
        } else {
            let message =
                checks.standard(options.locale, service.settings.locale, (options.channel, options.to));
            let message =
                message.ok_or_else(|| TextError::OtherLanguage(options.locale.unwrap_or(Locale::ENGLISH)))?;
            (Cow::Owned(message.text.replace("{brand}", "{friendly_name}")), message.locale)
        };
        let written = &*written;
        let value = |own: &str| options.substitutions.get(own).map(String::as_str);
        let missing = |own: &str| TextError::MissingSubstitution(own.to_owned());
        let mut text = filled(written, name, value).map_err(missing)?;
        // Values that are harmless by themselves must not be a place of the code together, or a line for browsers.
        if forms(&text) != forms(&shortest(written, "x")) {
            let why = "must not make a code or a line for browsers together with others".to_owned();
            return Err(TextError::BadValue { name: "TemplateCustomSubstitutions".to_owned(), why });
        }
        if service.settings.do_not_share_warning && options.channel == Channel::Sms {
            let language = StandardMessage::nearest(locale);
            let warning = language.or_else(|| StandardMessage::nearest(Locale::ENGLISH));
            text = with_warning(&text, warning.map_or("", |message| message.warning));
        }
        checks.check_custom(&text).map_err(TextError::Text)?;
        Ok((Wording::Custom(Box::from(text)), Some(locale)))
    }
}

/// Counts the places of the code in a text, and the lines that browsers would read.
fn forms(text: &str) -> (usize, usize) {
    let codes = CODE_PLACES.iter().map(|place| text.matches(place).count()).sum();
    (codes, text.lines().filter(|line| line.trim_start().starts_with('@')).count())
}

/// The text in the first language that the template has: the requested one, that of the number's country, that of the
/// service, that of the template.
fn choose<'a>(
    template: &'a Template,
    service: &Service,
    options: &TextOptions<'_>,
) -> Option<(&'a Locale, &'a String)> {
    let in_locale = |locale: Locale| template.translations.get_key_value(&locale);
    let nearest = |locale: Locale| locale.lookup().find_map(in_locale);
    options
        .locale
        .and_then(nearest)
        // The country costs microseconds, and says nothing where there is one language.
        .or_else(|| {
            (template.translations.len() > 1).then(|| of_country(options.to)).flatten().and_then(nearest)
        })
        .or_else(|| service.settings.locale.and_then(nearest))
        .or_else(|| template.default_locale().and_then(in_locale))
        .or_else(|| template.translations.first_key_value())
}

/// Refuses values that would become a place, or a line, of their own in our text.
fn check_values(options: &TextOptions<'_>) -> Result<(), TextError> {
    if options.substitutions.len() > VALUES_MOST {
        return Err(TextError::TooManyValues);
    }
    let bad = |name: &str, why| TextError::BadValue { name: mask_number(name).into_owned(), why };
    if let Some(name) = options.friendly_name {
        friendly_name(name).map_err(|why| bad("CustomFriendlyName", why))?;
    }
    for (name, value) in options.substitutions {
        if value.chars().count() > VALUE_LONGEST {
            return Err(bad(name, format!("must have at most {VALUE_LONGEST} characters")));
        }
        one_line(value).map_err(|why| bad(name, why))?;
    }
    Ok(())
}

/// Adds the warning after the text, and before a line for browsers, which must be the last.
fn with_warning(text: &str, warning: &str) -> String {
    let (body, line) = match text.trim_end().rsplit_once('\n') {
        Some((body, line)) if line.trim_start().starts_with('@') => (body.trim_end(), Some(line)),
        _ => (text.trim_end(), None),
    };
    // Thai sentences end without a stop, and no space follows a Chinese or Japanese one.
    let is_thai = warning.starts_with(|first| ('\u{e00}'..='\u{e7f}').contains(&first));
    let stop = if is_thai || body.ends_with(['.', '!', '?', '。', '।']) { "" } else { "." };
    let space = if body.ends_with('。') { "" } else { " " };
    let line = line.map(|line| format!("\n{line}")).unwrap_or_default();
    format!("{body}{stop}{space}{warning}{line}")
}
