//! The forms of values: numbers and times within limits, addresses, names, texts, credentials.
//!
//! A field with a type of the domain says `#[serde(with = "Text")]` if the type has a [`Form`]; a text is checked by the
//! function that `deserialize_with` names.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use onceward_core::guard::Mode;
use reqwest::header::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tracing::Level;
use url::Url;

use super::read::one_of;
use super::report::{NOT_SHOWN, text_of};
use crate::domain::{Channel, CodeLength, Locale, PhoneNumber, Region, Sid, SidKind, Timestamp};
use crate::engine::LockoutRule;
use crate::net::is_loopback_host;

/// A type whose values have a text in settings.
pub trait Form: Sized {
    /// The accepted values: the end of a sentence that begins with "it must be".
    fn accepted() -> String;

    /// Reads a text without white space around it.
    fn read(text: &str) -> Option<Self>;

    fn shown(&self) -> Value;
}

/// A value of a form, one that may be missing, or a list.
pub trait Formed: Sized {
    fn read_from<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;

    fn value(&self) -> Value;
}

/// For `#[serde(with = "Text")]`.
pub struct Text;

impl Text {
    pub fn deserialize<'de, T: Formed, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::read_from(from)
    }

    pub fn serialize<T: Formed, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.value().serialize(to)
    }
}

/// Declares the schema of values.
macro_rules! schema {
    ($name:ident $(<$($limit:ident),+>)?, $($schema:tt)+) => {
        impl$(<$(const $limit: u64),+>)? JsonSchema for $name$(<$($limit),+>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}

schema!(Text, { "type": "string" });
schema!(Whole<MIN, MAX>, { "type": ["integer", "string"], "minimum": MIN, "maximum": MAX });
schema!(Span<MIN, MAX, UNIT_SECONDS>, { "type": ["integer", "string"], "title": Self::limits() });

/// The same for values of records, which have them as they are.
pub mod stored {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Formed;

    pub fn deserialize<'de, T: Formed + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        if from.is_human_readable() { T::read_from(from) } else { T::deserialize(from) }
    }

    pub fn serialize<T: Formed + Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { value.value().serialize(to) } else { value.serialize(to) }
    }
}

/// Reads a text, a number or a truth value as a text of the accepted form.
pub fn checked<'de, T, D: Deserializer<'de>>(
    from: D,
    accepted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = text_of(&Value::deserialize(from)?);
    let value = text.and_then(|text| read(text.trim()));
    value.ok_or_else(|| D::Error::custom(format_args!("must be {accepted}")))
}

/// The same of a value that may be missing: then it is null or empty.
pub fn optional<'de, T, D: Deserializer<'de>>(
    from: D,
    accepted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let given = Option::<Value>::deserialize(from)?;
    let given = given.filter(|given| given.as_str().is_none_or(|text| !text.trim().is_empty()));
    given.map(|given| checked(given, accepted, read).map_err(D::Error::custom)).transpose()
}

/// What a field of a record is in the configuration, in requests and in exports: its text. The record has it raw.
pub fn text_or_raw<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    accepted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    if from.is_human_readable() { optional(from, accepted, read) } else { Option::deserialize(from) }
}

impl<T: Form> Formed for T {
    fn read_from<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        checked(from, &T::accepted(), T::read)
    }

    fn value(&self) -> Value {
        self.shown()
    }
}

impl<T: Form> Formed for Option<T> {
    fn read_from<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        optional(from, &T::accepted(), T::read)
    }

    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Formed::value)
    }
}

struct Item<T>(T);

impl<'de, T: Form> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::read_from(from).map(Self)
    }
}

impl<T: Form> Formed for Vec<T> {
    fn read_from<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let items = Vec::<Item<T>>::deserialize(from)?;
        Ok(items.into_iter().map(|Item(value)| value).collect())
    }

    fn value(&self) -> Value {
        self.iter().filter_map(|item| text_of(&item.shown())).collect::<Vec<_>>().join(",").into()
    }
}

/// A whole number within limits, for `#[serde(with = "Whole::<1, 10>")]`. A record is not checked again: a narrower range
/// must not make old ones unreadable.
pub struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    pub fn accepted() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn read<T: TryFrom<u64>>(text: &str) -> Option<T> {
        text.parse().ok().filter(|number| (MIN..=MAX).contains(number))?.try_into().ok()
    }

    pub fn deserialize<'de, T: TryFrom<u64> + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        if from.is_human_readable() {
            checked(from, &Self::accepted(), Self::read)
        } else {
            T::deserialize(from)
        }
    }

    pub fn serialize<T: Serialize, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
        number.serialize(to)
    }

    /// A number that may be missing.
    pub fn option<'de, T: TryFrom<u64> + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        text_or_raw(from, &Self::accepted(), Self::read)
    }
}

/// Spans of time, in milliseconds.
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// A time within limits, in milliseconds: a bare number of the unit, in seconds, or a text with units.
pub struct Span<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64 = 1>;

pub const VERIFICATION: &str = "verification";

/// The life of a code of the default service.
pub type CodeTime = Span<SECOND, DAY>;

/// The life of a code of other services.
pub type ServiceTime = Span<{ 30 * SECOND }, HOUR>;

pub type SendTime = Span<SECOND, MINUTE>;

/// The duration of a lockout. A number is remembered for at least as long.
pub type LockoutTime = Span<SECOND, { 30 * DAY }, 60>;

impl<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64> Span<MIN, MAX, UNIT_SECONDS> {
    pub fn has(span: Duration) -> bool {
        (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(&span)
    }

    pub fn read(text: &str) -> Option<Duration> {
        let span = if text.bytes().all(|b| b.is_ascii_digit()) {
            Duration::from_secs(UNIT_SECONDS.checked_mul(text.parse().ok()?)?)
        } else {
            humantime::parse_duration(text).ok()?
        };
        Self::has(span).then_some(span)
    }

    /// The limits, as the end of a sentence that begins with "it must be".
    pub fn limits() -> String {
        let [min, max] = [MIN, MAX].map(|limit| time_text(Duration::from_millis(limit)));
        format!("a time from {min} to {max}")
    }

    pub fn accepted() -> String {
        let unit = if UNIT_SECONDS == 60 { "minutes" } else { "seconds" };
        format!(
            "{}: a number of {unit}, or a text with units such as \"45s\", \"5m\", \"1h30m\" or \"500ms\"",
            Self::limits()
        )
    }

    /// The limits of a number of seconds in requests.
    pub fn in_seconds() -> String {
        let [min, max] = [MIN, MAX].map(|limit| limit / SECOND);
        format!("a number of seconds from {min} to {max}, or a time such as \"90s\" or \"5m\"")
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let read = Duration::deserialize;
        if from.is_human_readable() { checked(from, &Self::accepted(), Self::read) } else { read(from) }
    }

    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.serialize_str(&time_text(*span)) } else { span.serialize(to) }
    }

    /// A time that may be missing.
    pub fn option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        text_or_raw(from, &Self::accepted(), Self::read)
    }

    pub fn serialize_option<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { span.map(time_text).serialize(to) } else { span.serialize(to) }
    }
}

/// A time with its units; whole days as days, because months and years have no fixed length.
pub fn time_text(span: Duration) -> String {
    const SECONDS_PER_DAY: u64 = DAY / SECOND;
    let days = span.as_secs() / SECONDS_PER_DAY;
    let is_whole = days > 1 && span == Duration::from_secs(days * SECONDS_PER_DAY);
    if is_whole { format!("{days}days") } else { humantime::format_duration(span).to_string() }
}

/// Declares the forms of types: what is accepted, how a text is read, and how a value is shown that is not displayed so.
macro_rules! forms {
    (@shown $value:ident) => { $value.to_string() };
    (@shown $value:ident $shown:expr) => { $shown($value) };
    ($($type:ty, $accepted:expr, $read:expr $(, $shown:expr)?;)*) => {$(
        impl Form for $type {
            fn accepted() -> String {
                $accepted.into()
            }

            fn read(text: &str) -> Option<Self> {
                $read(text)
            }

            fn shown(&self) -> Value {
                forms!(@shown self $($shown)?).into()
            }
        }
    )*};
}

forms! {
    // Scheme, host and perhaps a path, without a slash at the end.
    Arc<str>, "a URL that begins with http:// or https://, without a user name, a query or a fragment", base_url;
    Url, "a URL that begins with https://, or with http:// for this machine", |text| Self::parse(text).ok().filter(is_page_url);
    Locale, "a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)", Self::parse;
    HeaderName, "the name of a header, such as X-Forwarded-For", |text: &str| text.parse().ok();
    // A single address is a network too.
    IpNet, "addresses and networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"] or \"127.0.0.1,10.0.0.0/8\"",
        |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from));
    ListenAddress, "host:port or :port (every address) with a port up to 65535, such as \"127.0.0.1:3000\", \"[::1]:3000\" or \
                    \":3000\", without a scheme", Self::parse;
    Level, one_of(&["error", "warn", "info", "debug", "trace"]),
        |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_alphabetic())),
        |level: &Self| level.to_string().to_ascii_lowercase();
    Mode, one_of(&Self::ALL.map(Self::as_str)),
        |text: &str| Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(text));
    Region, "a country with two letters of ISO 3166-1, such as \"DE\" or \"GB\" (not UK)", Self::parse;
    Channel, one_of(&Self::ALL.map(Self::as_str)), Self::parse, |channel: &Self| channel.as_str();
    PhoneNumber, "a phone number with + and country code such as +14155552671, without \"whatsapp:\" or another prefix", own_number;
    // The beginning of a day, or a moment.
    Timestamp, "a moment such as \"2027-01-31T12:00:00Z\" (RFC 3339, UTC), or a day such as \"2027-01-31\"",
        Self::parse_day_or_moment, |moment: &Self| moment.rfc3339_millis().to_string();
    // No secret, but a token is easily pasted into the wrong place.
    Sid, "AC and 32 hexadecimal digits, such as `echo AC$(openssl rand -hex 16)` makes them",
        |text| Self::parse(SidKind::Account, text);
    WorkflowStep, format!(
        "a list of at most {MOST_STEPS} channels (\"{}\"), each perhaps with the time to wait for a receipt from 1s to 1h, such as \
         [\"sms:20s\", \"call\"] or \"sms:20s,call\"",
        Channel::names("\", \"")
    ), Self::parse;
    CodeLength, Whole::<4, 10>::accepted(), |text| Self::new(Whole::<4, 10>::read(text)?), |length: &Self| length.get();
    LockoutRule, format!("\"{VERIFICATION}\" or {}", LockoutTime::accepted()), lockout, lockout_text;
}

fn lockout(text: &str) -> Option<LockoutRule> {
    if text.eq_ignore_ascii_case(VERIFICATION) {
        return Some(LockoutRule::Verification);
    }
    LockoutTime::read(text).map(LockoutRule::Fixed)
}

fn lockout_text(rule: &LockoutRule) -> String {
    match rule {
        LockoutRule::Verification => VERIFICATION.to_owned(),
        LockoutRule::Fixed(span) => time_text(*span),
    }
}

/// A set of countries.
impl Formed for Option<BTreeSet<Region>> {
    fn read_from<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<Region>::read_from(from).map(|countries| Some(countries.into_iter().collect()))
    }

    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, |list| list.iter().copied().collect::<Vec<_>>().value())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address; empty means every address.
    pub host: String,
    pub port: u16,
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }

    /// `host:port`, or `:port` for every address.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // Without brackets nothing says where an IPv6 address ends and the port begins.
        let is_split = !host.contains(':') || host.starts_with('[');
        let is_port = is_split && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        Some(Self { host: read_host(host)?, port: port.parse().ok().filter(|_| is_port)? })
    }
}

impl fmt::Display for ListenAddress {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A name, an address, or nothing for every address, without brackets.
fn read_host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_address = bare.parse::<Ipv6Addr>().is_ok();
    let is_name = || text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (is_address || is_name()).then(|| bare.to_owned())
}

pub fn host<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted = "a host name or an address such as \"localhost\", \"127.0.0.1\" or \"::1\", without a scheme or a port; \
                    empty means every address of the machine";
    checked(from, accepted, read_host)
}

/// One step of the fallback by delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowStep {
    pub channel: Channel,
    /// The time to wait for a delivery receipt before the next step.
    pub timeout: Duration,
}

impl fmt::Display for WorkflowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel.as_str(), humantime::format_duration(self.timeout))
    }
}

impl WorkflowStep {
    fn parse(text: &str) -> Option<Self> {
        let (channel, timeout) = text.split_once(':').unwrap_or((text, "20s"));
        let timeout = Span::<SECOND, HOUR>::read(timeout.trim())?;
        Some(Self { channel: Channel::parse(channel.trim())?, timeout })
    }
}

/// The most steps: a longer workflow outlasts any wait.
const MOST_STEPS: usize = 10;

/// Channels that are tried one after another; none when it is empty.
pub fn workflow<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WorkflowStep>, D::Error> {
    let steps = Option::<Vec<Item<WorkflowStep>>>::deserialize(from)?.unwrap_or_default();
    let steps: Vec<WorkflowStep> = steps.into_iter().map(|Item(step)| step).collect();
    let too_long = || D::Error::custom(format_args!("must be {}", WorkflowStep::accepted()));
    if steps.len() > MOST_STEPS { Err(too_long()) } else { Ok(steps) }
}

/// As one text: `sms:20s,call:20s`.
pub fn workflow_text(steps: &[WorkflowStep]) -> String {
    steps.iter().map(WorkflowStep::to_string).collect::<Vec<_>>().join(",")
}

/// The steps that a text spells, as the setting `workflow` does; `None` when it spells none.
pub fn workflow_steps(text: &str) -> Option<Vec<WorkflowStep>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let steps = items.map(WorkflowStep::read).collect::<Option<Vec<_>>>()?;
    (1..=MOST_STEPS).contains(&steps.len()).then_some(steps)
}

/// A country, or `off` for none.
pub fn region<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Region>, D::Error> {
    let accepted = "the two letters of a country such as \"DE\" or \"US\" (ISO 3166-1), or \"off\"";
    let read = |text: &str| match Region::parse(text) {
        None if !text.eq_ignore_ascii_case("off") => None,
        region => Some(region),
    };
    optional(from, accepted, read).map(Option::flatten)
}

pub fn web_domain<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let accepted = "the host name of a web site such as \"example.com\", without a scheme, a port or a path (a name with other \
                    letters in its xn-- form)";
    optional(from, accepted, |text| {
        let text = text.to_ascii_lowercase();
        // A numeric address is no name, and a browser binds no code to it.
        let url = Url::parse(&format!("https://{text}/")).ok()?;
        (url.domain() == Some(text.as_str())).then_some(text)
    })
}

/// Origins as browsers spell them: scheme, host, and the port unless it is the scheme's.
pub fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let accepted = "origins, such as [\"https://app.example.com\"] or \"https://a.example,https://b.example\": scheme, host and \
                    perhaps a port, without a path and without wildcards. Name every host";
    let origins = Vec::<String>::deserialize(from)?;
    let are_origins = origins.iter().all(|origin| is_origin(origin));
    are_origins.then_some(origins).ok_or_else(|| D::Error::custom(format_args!("must be {accepted}")))
}

/// An id at Twilio, whose own begin with two letters. No secret, but a token is easily pasted into the wrong variable. It
/// becomes part of a URL; therefore it must not be able to change the path.
pub fn twilio_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let accepted = "two letters and 32 hexadecimal digits, as Twilio's console shows them (behind another TWILIO_BASE_URL at most 64 \
                    letters, digits, hyphens and underscores)";
    optional(from, accepted, |text| is_name(text).then(|| text.to_owned()))
}

/// Enough of an id is shown to recognize it.
pub fn shortened_id<S: Serializer>(id: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    let shown = |id: &String| match (id.get(..6), id.get(id.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if id.len() > 16 => format!("{head}...{tail}"),
        _ => NOT_SHOWN.to_owned(),
    };
    id.as_ref().map(shown).serialize(to)
}

/// Secrets that are not shown; nothing where there is none.
pub fn hidden<T, S: Serializer>(secrets: &T, to: S) -> Result<S::Ok, S::Error>
where
    for<'s> &'s T: IntoIterator,
{
    secrets.into_iter().next().map(|_| NOT_SHOWN).serialize(to)
}

pub fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let accepted = "a token of at most 256 printable ASCII characters without spaces";
    optional(from, accepted, |text| is_word(text, 1, 256).then(|| text.into()))
}

/// The auth token of this server's own account.
pub fn account_token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let accepted = "16 to 128 visible ASCII characters without spaces, such as `openssl rand -hex 16` makes them; it is compared \
                    by a fast hash, so it must be random";
    optional(from, accepted, |text| is_word(text, 16, 128).then(|| text.into()))
}

const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

/// A name for people on one line, which is no placeholder in a message.
pub fn short_name(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    let characters = text.chars().count();
    if characters == 0 || characters > longest {
        return Err(format!("must have 1 to {longest} characters"));
    }
    one_line(text).map(|()| text.to_owned())
}

/// Text that becomes a part of messages.
pub fn one_line(text: &str) -> Result<(), String> {
    // Bidirectional controls could show a text in another order than it is read.
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(controls) {
        return Err("must be one line, without control characters".to_owned());
    }
    if text.contains(['{', '}']) || text.contains("_CODE_") {
        return Err("must not contain \"{\", \"}\" or \"_CODE_\", which mark places in messages".to_owned());
    }
    Ok(())
}

pub fn friendly_name(text: &str) -> Result<String, String> {
    let name = short_name(text, NAME_LONGEST)?;
    if name.chars().filter(|c| c.is_numeric()).count() > NAME_DIGITS {
        return Err(format!("must not have more than {NAME_DIGITS} digits, which could be taken for a code"));
    }
    Ok(name)
}

/// Text for people that becomes no part of a message.
pub fn note(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {longest} characters, without control characters"));
    }
    Ok(text.to_owned())
}

/// The id of a template of config.json, or of one that is built in.
pub fn template_sid(name: &str) -> Sid {
    Sid::of_name(SidKind::Template, "template", name)
}

/// Whether it is 1 to 64 letters, digits, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether a text looks as Twilio's ids with these two letters do.
pub fn is_twilio_sid(prefix: &str, sid: &str) -> bool {
    let digits = sid.strip_prefix(prefix).filter(|digits| digits.len() == 32);
    digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A number of ours. One in E.164 form is read without the metadata of all numbering plans, which takes 10 MiB of
/// memory that an idle server does without; whether its country has numbers of that length is for the provider to say.
pub fn own_number(text: &str) -> Option<PhoneNumber> {
    let plain = PhoneNumber::from_e164(text).filter(|number| number.as_u64() >= 1_000_000);
    plain.or_else(|| PhoneNumber::parse(text, None).ok())
}

/// Whether Twilio itself answers there.
pub fn is_twilio_host(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let below = url.as_ref().and_then(|url| url.host_str()?.strip_suffix("twilio.com"));
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Whether a browser may be sent there: by TLS, or on its own machine.
/// Its host has no character that means something in a policy of browsers (CSP), where it is repeated.
pub fn is_page_url(url: &Url) -> bool {
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_plain = is_plain && has_plain_host(url);
    let is_local = || url.scheme() == "http" && url.host_str().is_some_and(is_loopback_host);
    is_plain && (url.scheme() == "https" || is_local())
}

/// Whether this is an origin as browsers spell it, without wildcards.
pub fn is_origin(text: &str) -> bool {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.is_some_and(|url| has_plain_host(&url) && url.origin().ascii_serialization() == text)
}

fn has_plain_host(url: &Url) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    url.host_str().is_some_and(|host| host.bytes().all(is_plain))
}

/// The host, and perhaps the port, of the tutorial's `HOST`, which may be a URL such as `http://localhost:5000`. What is no host
/// stays, and is none in `test-hostname` either.
pub fn host_variable(text: &str) -> (String, Option<u16>) {
    let rest = text.trim().trim_start_matches("http://").trim_start_matches("https://");
    let rest = rest.split('/').next().unwrap_or_default();
    let is_host = |host: &String| !host.is_empty();
    match ListenAddress::parse(rest).filter(|address| is_host(&address.host)) {
        Some(address) => (address.host, Some(address.port)),
        None => (read_host(rest).filter(is_host).unwrap_or_else(|| text.to_owned()), None),
    }
}

/// An address: scheme, host and perhaps a path, without a slash at the end.
fn base_url(text: &str) -> Option<Arc<str>> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let ends = url.query().is_none() && url.fragment().is_none();
    let fits = matches!(url.scheme(), "http" | "https") && is_plain && ends;
    fits.then(|| url.as_str().trim_end_matches('/').into())
}

fn is_word(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether credentials would travel unencrypted beyond this machine. Without a scheme `http` is meant.
pub fn is_exposed(url: &str) -> bool {
    let url =
        Url::parse(url).ok().filter(Url::has_host).or_else(|| Url::parse(&format!("http://{url}")).ok());
    url.is_some_and(|url| url.scheme() == "http" && !url.host_str().is_some_and(is_loopback_host))
}
