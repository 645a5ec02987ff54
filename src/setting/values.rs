//! The kinds of single keys, variables and members of services: names, addresses, texts, credentials.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::{Schema, json_schema};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use url::{Host as UrlHost, Url};
use zeroize::Zeroizing;

use super::{
    ACCEPTED, CodeTime, Digits, HOUR, IN_REQUESTS, Kind, List, LockoutTime, NOT_SHOWN, SECOND, ServiceTime,
    Span, Text, UNIT, kinds, object_of,
};
use crate::domain::{Channel, CodeLength, Locale, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp};
use crate::engine::LockoutRule;
use crate::net::is_loopback_host;
use crate::template;

#[derive(Debug, Clone, PartialEq, Eq)]
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
        Some(Self { host: Host::read(host)?, port: port.parse().ok().filter(|_| is_port)? })
    }
}

impl fmt::Display for ListenAddress {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One step of the fallback by delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowStep {
    pub channel: Channel,
    /// The time to wait for a delivery receipt before the next step.
    pub timeout: Duration,
}

/// Language, script and region in requests; empty for none.
const LANGUAGE: &str = "^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?)?$";

const TTS_NAME_LONGEST: usize = 64;

/// Where a collector takes spans, below its base address.
const SPANS_PATH: &str = "/v1/traces";

/// A text without control characters and braces.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f{}]*$";

/// The same with so few digits that they cannot be taken for a code.
const NAME: &str = r"^[^0-9\x00-\x1f\x7f-\x9f{}]*([0-9][^0-9\x00-\x1f\x7f-\x9f{}]*){0,4}$";

fn channels_in_quotes() -> String {
    format!("\"{}\"", Channel::names("\", \""))
}

/// Channels, each perhaps with the seconds to wait for a receipt; empty for none.
fn workflow_pattern() -> String {
    let step = format!("({})(:[1-9][0-9]?s)?", Channel::names("|"));
    format!("^({step}(,{step}){{0,9}})?$")
}

const VERIFICATION: &str = "verification";

kinds! {
    /// The path of a file or directory. A relative one begins in the working directory.
    FilePath -> PathBuf, "a path";
        raw |text| (!text.trim().is_empty() && !text.contains('\0')).then(|| text.into());
        |path| path.to_string_lossy();

    /// The name that messages speak in. Empty where none is given.
    Brand -> String, "a name of at most 100 characters without line breaks, braces or _CODE_ (it is put into messages)",
        json_schema!({ "type": ["string", "number"], "maxLength": 100 });
        text |text| (text.is_empty() || short_name(text, 100).is_ok()).then(|| text.to_owned());

    RegionChoice -> Option<Region>, "the two letters of a country such as \"DE\" or \"US\" (ISO 3166-1), or \"off\"";
        text |text| if text.eq_ignore_ascii_case("off") { Some(None) } else { Region::parse(text).map(Some) };
        |region| region.map_or_else(|| "off".to_owned(), |region| region.to_string());

    /// A host: a name, an address, or nothing for every address. Kept without brackets.
    Host -> String, "a host name or an address such as \"localhost\", \"127.0.0.1\" or \"::1\", without a scheme or a port; \
                     empty means every address of the machine";
        text |text| {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let is_address = bare.parse::<Ipv6Addr>().is_ok();
            let is_name = || text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
            (is_address || is_name()).then(|| bare.to_owned())
        };

    HostPort -> Option<ListenAddress>, "host:port or :port (every address) with a port up to 65535, such as \"127.0.0.1:3000\", \
                                        \"[::1]:3000\" or \":3000\", without a scheme";
        text |text| if text.is_empty() { Some(None) } else { ListenAddress::parse(text).map(Some) };
        |address| address.as_ref().map(ToString::to_string).unwrap_or_default();

    /// An address: scheme, host and perhaps a path, without a slash at the end.
    BaseUrl -> Arc<str>, "a URL that begins with http:// or https://, without a user name, a query or a fragment",
        json_schema!({ "type": "string", "format": "uri" });
        text |text| {
            let url = Url::parse(text).ok()?;
            let is_plain = url.username().is_empty() && url.password().is_none();
            let ends = url.query().is_none() && url.fragment().is_none();
            let fits = matches!(url.scheme(), "http" | "https") && is_plain && ends;
            fits.then(|| url.as_str().trim_end_matches('/').into())
        };
        |url| url.as_ref();

    /// An origin as browsers spell it: scheme, host, and the port unless it is the scheme's.
    Origin -> String, "origins, such as [\"https://app.example.com\"] or \"https://a.example,https://b.example\": scheme, host \
                       and perhaps a port, without a path and without wildcards. Name every host";
        text |text| {
            is_origin(text).then(|| text.to_owned())
        };

    /// Addresses between spaces, as a record keeps them.
    ReturnUrls -> String, "1 to 10 URLs between spaces, at most 2048 characters in all, each with https:// or, on this machine, \
                           http://, without a user name or a fragment", url_schema("https://app.example.com/verified");
        text |text| spaced(text, is_page_url);

    /// Origins between spaces, as a record keeps them.
    EmbedOrigins -> String, "1 to 10 origins between spaces, at most 2048 characters in all, such as https://app.example.com: a scheme, a \
                             host and perhaps a port",
        url_schema("https://app.example.com");
        text |text| spaced(text, is_page_url).filter(|text| text.split(' ').all(is_origin));

    /// An address that a page names.
    PageUrl -> String, "a URL of at most 2048 characters with https:// or, on this machine, http://, without a user name or a \
                        fragment",
        url_schema("https://app.example.com/privacy");
        text |text| spaced(text, is_page_url).filter(|text| !text.contains(' '));

    PageColor -> String, "a color such as #1d5688", json_schema!({
        "type": "string",
        "pattern": "^\\s*#[0-9a-fA-F]{6}\\s*$",
        IN_REQUESTS: { "type": "string", "pattern": "^(#[0-9a-fA-F]{6})?$", "example": "#1d5688" },
    });
        text |text| {
            let digits = text.strip_prefix('#')?;
            let fits = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| text.to_ascii_lowercase())
        };

    Header -> HeaderName, "the name of a header, such as X-Forwarded-For";
        text |text| text.parse().ok();
        |header| header.as_str();

    /// A network, or a single address.
    Network -> IpNet, "addresses and networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"] or \"127.0.0.1,10.0.0.0/8\"";
        text |text| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        |network| network.to_string();

    /// The text of a message, before it is checked.
    MessageText -> String, "a text that contains {code}",
        json_schema!({ "type": "string", "pattern": "\\{code\\}|_CODE_", "maxLength": template::LONGEST });
        raw |text| Some(text.to_owned());

    LocaleTag -> Locale, "a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)", json_schema!({
        "type": "string",
        "pattern": "^\\s*[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*\\s*$",
        IN_REQUESTS: { "type": "string", "pattern": LANGUAGE, "example": "de" },
    });
        text |text| Locale::parse(text);
        |locale| locale.to_string();

    WebDomain -> String, "the host name of a web site such as \"example.com\", without a scheme, a port or a path (a name with \
                          other letters in its xn-- form)";
        text |text| {
            let text = text.to_ascii_lowercase();
            let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            let plain = !text.is_empty() && text.len() <= 253 && text.chars().all(of_name);
            // A numeric address is no name, and a browser binds no code to it.
            let host = Url::parse(&format!("https://{text}/")).ok()?.domain().map(str::to_owned);
            (plain && host.as_deref() == Some(text.as_str())).then_some(text)
        };

    /// The base address of a collector, read as the address of its spans.
    SpansUrl -> Url, BaseUrl::accepted(), BaseUrl::schema();
        text |text| Url::parse(&format!("{}{SPANS_PATH}", BaseUrl::read(text)?)).ok();
        |url| url.as_str().trim_end_matches(SPANS_PATH);

    /// Headers as OpenTelemetry's libraries take them, values percent-encoded.
    OtlpHeaders -> HeaderMap, "pairs such as \"authorization=Bearer%20abc,x-team=otp\", values percent-encoded", hidden();
        text |text| headers(text);
        |_headers| NOT_SHOWN;

    TraceName -> String, "a name of 1 to 256 characters without line breaks";
        text |text| is_line(text).then(|| text.to_owned());

    Share -> f64, "a number from 0 to 1", json_schema!({ "type": ["number", "string"], "minimum": 0, "maximum": 1 });
        text |text| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));

    /// The id of this server's own account. No secret, but a token is easily pasted into the wrong variable.
    AccountSid -> Sid, "AC and 32 hexadecimal digits, such as `echo AC$(openssl rand -hex 16)` makes them", hidden();
        text |text| Sid::parse(SidKind::Account, text);
        |sid| sid.to_string();

    /// A whole phone number of ours.
    OwnNumber -> PhoneNumber,
        "a phone number with + and country code such as +14155552671, without \"whatsapp:\" or another prefix", hidden();
        text |text| own_number(text);
        |number| number.to_string();

    /// Whom messages of Twilio come from. A number is masked, a name is shown as it is.
    SenderNumber -> String,
        "a phone number, a short code or an alphanumeric sender, without \"whatsapp:\" or another prefix", hidden();
        text |text| note(text, 40).ok().filter(|text| text.len() <= 40 && !text.contains(':'));
        |sender| own_number(sender).map_or_else(|| sender.clone(), |number| number.to_string());

    /// A name in messages. Its content is checked with the service: the brand of the default service may be more.
    FriendlyName -> String, "a text", json_schema!({
        "type": ["string", "number"],
        "maxLength": NAME_LONGEST,
        IN_REQUESTS: { "type": "string", "maxLength": NAME_LONGEST, "pattern": NAME, "example": "Owl Bank" },
    });
        text |text| Some(text.to_owned());

    /// The name of an alternative voice.
    TtsName -> String,
        format!("a name of 1 to {TTS_NAME_LONGEST} characters on one line, without \"{{\", \"}}\" and \"_CODE_\", which mark \
                 places in messages"),
        json_schema!({
            "type": "string",
            "maxLength": TTS_NAME_LONGEST,
            IN_REQUESTS: { "type": "string", "maxLength": TTS_NAME_LONGEST, "pattern": LINE, "example": "Owl Bank" },
        });
        text |text| short_name(text, TTS_NAME_LONGEST).ok();

    CodeDigits -> CodeLength, Digits::accepted(), json_schema!({ "anyOf": spellings::<Digits>() });
        any |value| CodeLength::new(Digits::of(value)?.try_into().ok()?);
        |length| length.get();

    /// The lifetime of a code. The default service may have a life that others may not have.
    CodeLife -> Duration, ServiceTime::accepted(), json_schema!({
        "anyOf": spellings::<ServiceTime>(),
        UNIT: 1,
        IN_REQUESTS: {
            "type": "integer", "minimum": 30, "maximum": 3_600, "example": 600, ACCEPTED: ServiceTime::in_seconds(),
        },
    });
        any |value| CodeTime::of(value);
        |life| CodeTime::shown(life);

    LockoutKind -> LockoutRule, format!("\"verification\" or {}", LockoutTime::accepted()), json_schema!({
        "anyOf": ([vec![json!({ "enum": [VERIFICATION] })], spellings::<LockoutTime>()].concat()),
        UNIT: 60,
        IN_REQUESTS: {
            "type": "string",
            "pattern": "^(verification|[0-9]{1,7})?$",
            "example": VERIFICATION,
            ACCEPTED: format!("\"verification\" or {}", LockoutTime::in_seconds()),
        },
    });
        text |text| if text.eq_ignore_ascii_case(VERIFICATION) {
            Some(LockoutRule::Verification)
        } else {
            LockoutTime::read(text).map(LockoutRule::Fixed)
        };
        |rule| match rule {
            LockoutRule::Verification => json!(VERIFICATION),
            LockoutRule::Fixed(span) => LockoutTime::shown(span),
        };

    /// The id of a template. A user may write the template's name as well.
    TemplateId -> Sid, "the name or the id of a template", json_schema!({
        "type": "string",
        IN_REQUESTS: {
            "type": "string",
            "pattern": "^(HJ[0-9a-fA-F]{32})?$",
            "example": "HJ0123456789abcdef0123456789abcdef",
        },
    });
        text |text| (!text.is_empty())
            .then(|| Sid::parse(SidKind::Template, text).unwrap_or_else(|| template_sid(text)));
        |sid| sid.to_string();

    /// A moment, or a day: its beginning.
    Moment -> Timestamp, "a moment such as \"2027-01-31T12:00:00Z\" (RFC 3339, UTC), or a day such as \"2027-01-31\"";
        text |text| Timestamp::parse_day_or_moment(text);

    /// A key that only another system has a use for: anything, and never shown.
    Ignored -> String, "anything", Text::schema();
        any |_value| Some(String::new());
        |_text| ();

    /// Texts by channel and language, before their names and they themselves are checked.
    MessageTexts -> Map<String, Value>,
        "an object of texts such as {\"sms\": \"Your code is {code}\", \"call\": {\"de\": \"Ihr Code ist {code}\"}}",
        {
            let text = MessageText::schema();
            let of_channel =
                json_schema!({ "anyOf": [text, { "type": "object", "additionalProperties": text }] });
            let names = Channel::ALL.map(Channel::as_str).into_iter().chain(["any"]);
            let texts: Map<_, _> = names.map(|name| (name.to_owned(), json!(of_channel))).collect();
            json_schema!({ "type": "object", "additionalProperties": false, "properties": texts })
        };
        any |value| object_of(value);

    Currency -> String, "the three letters of a currency such as \"USD\" or \"EUR\" (ISO 4217)";
        text |text| (text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase());

    /// Channels one after another, as the setting `workflow` spells them: `sms:20s,call:20s`.
    WorkflowText -> String, Workflow::accepted(), {
        let mut schema = Workflow::schema();
        schema.insert(IN_REQUESTS.to_owned(), json!({ "type": "string", "pattern": workflow_pattern(), "example": "sms" }));
        schema
    };
        any |value| Workflow::of(value).filter(|steps| !steps.is_empty()).map(|steps| Workflow::text(&steps));

    /// One channel or a list of them.
    Channels -> Vec<Channel>, format!("one or more of {}", channels_in_quotes()), {
        let channel = json_schema!({ "type": "string", "enum": Channel::ALL.map(Channel::as_str) });
        json_schema!({ "anyOf": [channel, { "type": "array", "items": channel, "minItems": 1 }] })
    };
        any |value| {
            let given = List::<ChannelName>::of(value).filter(|channels| !channels.is_empty())?;
            Some(Channel::ALL.into_iter().filter(|channel| given.contains(channel)).collect())
        };
        |channels| channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>();

    /// A channel, perhaps with the time to wait for a receipt: `sms` or `sms:20s`.
    Step -> WorkflowStep, "a channel";
        text |text| {
            let (channel, timeout) = text.split_once(':').unwrap_or((text, "20s"));
            let timeout = Span::<SECOND, HOUR>::read(timeout)?;
            Some(WorkflowStep { channel: ChannelName::read(channel)?, timeout })
        };
        |step| step_text(step);

    ChannelName -> Channel, format!("one of {}", channels_in_quotes());
        text |text| Channel::parse(text);
        |channel| channel.as_str();

    /// Channels that are tried one after another; none when it is empty.
    Workflow -> Vec<WorkflowStep>,
        format!(
            "a list of at most {} channels ({}), each perhaps with the time to wait for a receipt from 1s to 1h, such as \
             [\"sms:20s\", \"call\"] or \"sms:20s,call\"",
            Workflow::LONGEST,
            channels_in_quotes()
        ),
        {
            let either_case = |name: &str| -> String {
                name.chars().flat_map(|c| ['[', c.to_ascii_uppercase(), c, ']']).collect()
            };
            let names = Channel::ALL.map(|channel| either_case(channel.as_str())).join("|");
            let step = format!("\\s*({names})\\s*(:[0-9A-Za-z\\s]+)?");
            json_schema!({ "anyOf": [
                { "type": "array", "maxItems": Workflow::LONGEST, "items": { "type": "string", "pattern": format!("^{step}$") } },
                { "type": "string", "pattern": format!("^({step}(,{step})*|\\s*)$") },
            ]})
        };
        any |value| List::<Step>::of(value).filter(|steps| steps.len() <= Workflow::LONGEST);
        |steps| Workflow::text(steps);

    Password -> SecretString, "a secret of 1 to 256 characters without line breaks", hidden();
        raw |text| is_line(text).then(|| text.into());
        |_secret| NOT_SHOWN;

    Token -> SecretString, "a token of at most 256 printable ASCII characters without spaces", hidden();
        text |text| is_word(text, 1, 256).then(|| text.into());
        |_secret| NOT_SHOWN;

    /// The auth token of this server's own account.
    AccountToken -> SecretString, "16 to 128 visible ASCII characters without spaces, such as `openssl rand -hex 16` makes them; \
                                   it is compared by a fast hash, so it must be random", hidden();
        text |text| is_word(text, 16, 128).then(|| text.into());
        |_secret| NOT_SHOWN;

    HookKeys -> Vec<HookKey>, "keys of at least 16 characters, separated by |, each perhaps behind the name of its service and a \
                               colon", hidden();
        text |text| hook_keys(text, |key| Some(key.as_bytes().to_vec()));
        |_secret| NOT_SHOWN;

    StandardHookKeys -> Vec<HookKey>, "secrets such as v1,whsec_ and Base64 of at least 16 bytes, separated by |, each perhaps \
                                       behind the name of its service and a colon", hidden();
        text |text| hook_keys(text, |key| {
            let key = key.strip_prefix("v1,").unwrap_or(key);
            STANDARD.decode(key.strip_prefix("whsec_")?).ok()
        });
        |_secret| NOT_SHOWN;
}

/// A key by which an identity system signs its hooks.
#[derive(Clone)]
pub struct HookKey {
    /// The name of the service that sends its codes.
    pub service: String,
    key: Zeroizing<Vec<u8>>,
}

impl HookKey {
    pub fn expose(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for HookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookKey(***)")
    }
}

/// A shorter key could be tried out.
const SHORTEST_HOOK_KEY: usize = 16;

fn hook_keys(text: &str, decode: fn(&str) -> Option<Vec<u8>>) -> Option<Vec<HookKey>> {
    let entries = text.split(|c: char| c.is_whitespace() || c == '|').filter(|entry| !entry.is_empty());
    let key = |entry: &str| {
        let (service, key) = entry.split_once(':').unwrap_or((ServiceId::DEFAULT_NAME, entry));
        let key = Zeroizing::new(decode(key)?);
        (key.len() >= SHORTEST_HOOK_KEY).then(|| HookKey { service: service.to_owned(), key })
    };
    let keys = entries.map(key).collect::<Option<Vec<_>>>()?;
    (!keys.is_empty()).then_some(keys)
}

/// The most addresses that one setting has, and its longest text.
const MOST_URLS: usize = 10;
const LONGEST_URLS: usize = 2_048;

/// Whether a browser may be sent there: by TLS, or on its own machine.
/// Its host has no character that means something in a policy of browsers (CSP), where it is repeated.
fn is_page_url(url: &Url) -> bool {
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_plain = is_plain && has_plain_host(url);
    let is_local = || url.scheme() == "http" && url.host_str().is_some_and(is_loopback_host);
    is_plain && (url.scheme() == "https" || is_local())
}

/// Whether this is an origin as browsers spell it, without wildcards.
fn is_origin(text: &str) -> bool {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.is_some_and(|url| has_plain_host(&url) && url.origin().ascii_serialization() == text)
}

fn has_plain_host(url: &Url) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    url.host_str().is_some_and(|host| host.bytes().all(is_plain))
}

/// Addresses as they were written, with one space between them.
fn spaced(text: &str, fits: impl Fn(&Url) -> bool) -> Option<String> {
    let urls: Vec<&str> = text.split_ascii_whitespace().collect();
    let all_fit = urls.iter().all(|url| Url::parse(url).is_ok_and(|url| fits(&url)));
    let is_short = (1..=MOST_URLS).contains(&urls.len()) && text.len() <= LONGEST_URLS;
    (all_fit && is_short).then(|| urls.join(" "))
}

fn url_schema(example: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": LONGEST_URLS,
        IN_REQUESTS: { "type": "string", "maxLength": LONGEST_URLS, "example": example },
    })
}

/// The schema of a value that no message repeats.
fn hidden() -> Schema {
    json_schema!({ "type": "string", "writeOnly": true })
}

pub type Origins = List<Origin>;
pub type Networks = List<Network>;

/// An id of an account or a service at Twilio, whose own begin with the letters `A` and `B`. No secret, but a token is
/// easily pasted into the wrong variable. It becomes part of a URL; therefore it must not be able to change the path.
pub struct TwilioSid<const A: char, const B: char>;

kinds! {
    // Enough of an id is shown to recognize it.
    [const A: char, const B: char] TwilioSid<A, B> -> String,
        format!("{A}{B} and 32 hexadecimal digits, as Twilio's console shows it (behind another TWILIO_BASE_URL at most 64 letters, \
                 digits, hyphens and underscores)"),
        hidden();
        text |text| Some(text).filter(|text| is_name(text)).map(str::to_owned);
        |sid| match (sid.get(..6), sid.get(sid.len().saturating_sub(4)..)) {
            (Some(head), Some(tail)) if sid.len() > 16 => format!("{head}...{tail}"),
            _ => NOT_SHOWN.to_owned(),
        };
}

fn step_text(step: &WorkflowStep) -> String {
    format!("{}:{}", step.channel.as_str(), humantime::format_duration(step.timeout))
}

impl Workflow {
    /// The most steps: a longer workflow outlasts any wait.
    pub const LONGEST: usize = 10;

    /// As one text: `sms:20s,call:20s`.
    pub fn text(steps: &[WorkflowStep]) -> String {
        steps.iter().map(step_text).collect::<Vec<_>>().join(",")
    }
}

/// The ways in which config.json may have a value of this kind, the proper type first.
fn spellings<K: Kind>() -> Vec<Value> {
    K::schema().get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The steps that a text spells, as the setting `workflow` does; `None` when it spells none.
pub fn workflow_steps(text: &str) -> Option<Vec<WorkflowStep>> {
    Workflow::read(text).filter(|steps| !steps.is_empty())
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

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

fn is_word(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a text looks as Twilio's ids with these two letters do.
pub fn is_twilio_sid(prefix: &str, sid: &str) -> bool {
    sid.strip_prefix(prefix).is_some_and(is_32_hex)
}

/// Whether it is 32 hexadecimal digits, as Twilio's tokens are today.
pub fn is_32_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether Twilio could send from it: a number, a short code, or an alphanumeric sender id (the characters are those of
/// Twilio's `AlphaSender` resource).
pub fn is_twilio_sender(text: &str) -> bool {
    let short_code = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'+' | b'-' | b'_' | b'&');
    let name = text.len() <= 11 && text.bytes().all(of_name) && text.bytes().any(|b| b.is_ascii_alphabetic());
    short_code || name || own_number(text).is_some()
}

/// A number of ours. One in E.164 form is read without the metadata of all numbering plans, which takes 10 MiB of
/// memory that an idle server does without; whether its country has numbers of that length is for the provider to say.
pub fn own_number(text: &str) -> Option<PhoneNumber> {
    let plain = PhoneNumber::from_e164(text).filter(|number| number.as_u64() >= 1_000_000);
    plain.or_else(|| PhoneNumber::parse(text, None).ok())
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

/// Whether credentials would travel unencrypted beyond this machine. Without a scheme `http` is meant.
pub fn is_exposed(url: &str) -> bool {
    let url = with_scheme(url);
    let host = || Url::parse(&url).ok().and_then(|url| url.host_str().map(is_loopback_host));
    url.starts_with("http:") && host() != Some(true)
}

/// Whether Twilio itself answers there.
pub fn is_twilio_host(url: &str) -> bool {
    is_host_of("twilio.com", url)
}

/// Whether the host of a URL belongs to a domain.
pub fn is_host_of(domain: &str, url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()?.strip_suffix(domain));
    host.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Whether a text that is no URL may hold a password.
pub fn may_hold_password(text: &str) -> bool {
    text.contains(['@', '?'])
}

/// Reads the tutorial's `HOST`: a host, perhaps with a port, or a URL such as `http://localhost:5000`. `None` when it
/// is neither.
pub fn host_variable(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    if !text.contains("://") {
        let text = text.strip_suffix('/').unwrap_or(text);
        if let Some(host) = Host::read(text) {
            return Some((host, None)).filter(|(host, _)| !host.is_empty());
        }
        let address = ListenAddress::parse(text).filter(|address| !address.host.is_empty())?;
        return Some((address.host, Some(address.port)));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = match url.host()? {
        UrlHost::Domain(name) => name.to_owned(),
        UrlHost::Ipv4(address) => address.to_string(),
        UrlHost::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port()))
}

/// Reads `name=value,name=value`. `None` for anything else.
fn headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_with_percent_encoded_values() {
        let read = headers("Authorization=Bearer%20a=b, x-team = otp,").expect("headers");
        assert_eq!(
            (&read["authorization"], &read["x-team"], read.len()),
            (&HeaderValue::from_static("Bearer a=b"), &HeaderValue::from_static("otp"), 2)
        );
        assert!(!format!("{read:?}").contains("Bearer"));
        for wrong in ["authorization", "a b=c", "x=%0A", "x=%FF"] {
            assert!(headers(wrong).is_none(), "{wrong}");
        }
    }
}
