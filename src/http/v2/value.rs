//! Values of parameters: read, and within their bounds.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr as _;

use super::error::Error;
use super::fields::Fields;
use crate::domain::{Channel, Locale, PhoneNumber, Sid, SidKind, Timestamp};
use crate::template::AppHash;

/// Reads what a parameter says, with words for what it must be.
pub fn read<T>(
    fields: &Fields,
    name: &str,
    must_be: impl Display,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let text = fields.text(name)?;
    text.map(|text| parse(&text).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}"))))
        .transpose()
}

/// The same for what is no text in JSON.
fn scalar<T>(
    fields: &Fields,
    name: &str,
    must_be: impl Display,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let text = fields.scalar(name)?;
    text.map(|text| parse(&text).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}"))))
        .transpose()
}

/// A whole number whose bounds others know.
pub fn count(fields: &Fields, name: &str) -> Result<Option<u64>, Error> {
    scalar(fields, name, "a whole number", |text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    })
}

/// A value that must be there.
pub fn required<T>(name: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::parameter(name, "it is missing"))
}

/// A text of so many characters, none of them a control character.
pub fn text(fields: &Fields, name: &str, longest: usize) -> Result<Option<String>, Error> {
    read(fields, name, format_args!("at most {longest} characters, without control characters"), |text| {
        is_text(text, longest).then(|| text.to_owned())
    })
}

/// Whether a text is one of so many characters, none of them a control character.
pub fn is_text(text: &str, longest: usize) -> bool {
    text.chars().take(longest + 1).count() <= longest && !text.chars().any(char::is_control)
}

/// `true` or `false`, in any case.
pub fn boolean(fields: &Fields, name: &str) -> Result<Option<bool>, Error> {
    scalar(fields, name, "true or false", |text| {
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else {
            text.eq_ignore_ascii_case("false").then_some(false)
        }
    })
}

/// A whole number within a range.
pub fn whole(fields: &Fields, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
    let (least, most) = (*range.start(), *range.end());
    scalar(fields, name, format_args!("a whole number from {least} to {most}"), |text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|value| digits && range.contains(value))
    })
}

/// An id.
pub fn sid(fields: &Fields, name: &str, kind: SidKind) -> Result<Option<Sid>, Error> {
    let prefix = kind.prefix();
    read(fields, name, format_args!("{prefix} and 32 hexadecimal digits"), |text| Sid::parse(kind, text))
}

/// A phone number in E.164 form.
pub fn number(fields: &Fields, name: &str) -> Result<Option<PhoneNumber>, Error> {
    read(fields, name, "a phone number in E.164 form, such as +14155552671", phone)
}

/// The same from its text. A `+` in a form means a space, and people write `To=+1415...` all the same: a space in front
/// is read as the `+` that it was.
pub fn phone(text: &str) -> Option<PhoneNumber> {
    let read = |text: &str| PhoneNumber::parse(text, None).ok();
    text.strip_prefix(' ').map_or_else(|| read(text), |rest| read(&format!("+{rest}")))
}

/// A moment.
pub fn moment(fields: &Fields, name: &str) -> Result<Option<Timestamp>, Error> {
    read(fields, name, "a date such as 2015-07-30T20:00:00Z", Timestamp::parse_day_or_moment)
}

/// A language.
pub fn locale(fields: &Fields, name: &str) -> Result<Option<Locale>, Error> {
    read(fields, name, "a language tag such as de or pt-BR", Locale::parse)
}

/// The hash of an Android app.
pub fn app_hash(fields: &Fields, name: &str) -> Result<Option<AppHash>, Error> {
    read(fields, name, "11 characters of A-Z, a-z, 0-9, + and /", AppHash::parse)
}

/// An address of a device.
pub fn ip(fields: &Fields, name: &str) -> Result<Option<IpAddr>, Error> {
    read(fields, name, "an IP address", |text| IpAddr::from_str(text).ok())
}

/// A channel of attempts.
pub fn channel(fields: &Fields, name: &str) -> Result<Option<Channel>, Error> {
    read(fields, name, "sms, call or whatsapp", Channel::parse)
}

/// One of some words.
pub fn word<T: Copy>(fields: &Fields, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Error> {
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    read(fields, name, names.join(" or "), |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    })
}

/// Parameters that Twilio reads and this server does not: refused, so that nobody believes that they did something.
pub fn none_of(fields: &Fields, names: &[&str]) -> Result<(), Error> {
    match names.iter().find(|name| fields.has(name)) {
        Some(name) => Err(Error::parameter(name, "it is not served here")),
        None => Ok(()),
    }
}
