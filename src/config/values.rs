//! The kinds of single keys and variables: names, addresses, texts, credentials.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{Schema, json_schema};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::{Host as UrlHost, Url};

use super::kind::{IN_REQUESTS, Kind, Span, StepWait, Text, kinds, objects};
use super::report::NOT_SHOWN;
use super::settings::{ListenAddress, WorkflowStep};
use crate::domain::{Channel, Locale, PhoneNumber, Region, Sid as AccountId, SidKind};
use crate::net::is_loopback_host;
use crate::template;

/// Language, script and region in requests; empty for none.
const LANGUAGE: &str = "^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?)?$";

kinds! {
    /// The path of a file or directory. A relative one begins in the working directory.
    FilePath -> PathBuf {
        accepted: "a path",
        schema: { "type": "string", "minLength": 1 },
        read: |text| (!text.trim().is_empty() && !text.contains('\0')).then(|| text.into()),
        shown: |path| json!(path.to_string_lossy()),
    }

    /// The name that messages speak in. Empty where none is given.
    Brand -> String {
        accepted: "a name of at most 100 characters without line breaks, braces or _CODE_ (it is put into messages)",
        schema: { "type": ["string", "number"], "maxLength": 100 },
        read: |text| {
            let text = text.trim();
            let usable = text.chars().count() <= 100
                && !text.contains("_CODE_")
                && !text.chars().any(|c| c.is_control() || matches!(c, '{' | '}'));
            usable.then(|| text.to_owned())
        },
        shown: |brand| json!(brand),
    }

    RegionChoice -> Option<Region> {
        accepted: "the two letters of a country such as \"DE\" or \"US\" (ISO 3166-1), or \"off\"",
        schema: { "type": "string", "pattern": "^\\s*([A-Za-z]{2}|[Oo][Ff][Ff])\\s*$" },
        read: |text| {
            let text = text.trim();
            if text.eq_ignore_ascii_case("off") { Some(None) } else { Region::parse(text).map(Some) }
        },
        shown: |region| json!(region.map_or_else(|| "off".to_owned(), |region| region.to_string())),
    }

    /// A host: a name, an address, or nothing for every address. Kept without brackets.
    Host -> String {
        accepted: "a host name or an address such as \"localhost\", \"127.0.0.1\" or \"::1\", without a scheme or a port; \
                   empty means every address of the machine",
        schema: { "type": "string" },
        read: |text| {
            let text = text.trim();
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            if bare.parse::<Ipv6Addr>().is_ok() {
                return Some(bare.to_owned());
            }
            let name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
            name.then(|| text.to_owned())
        },
        shown: |host| json!(host),
    }

    HostPort -> Option<ListenAddress> {
        accepted: "host:port or :port (every address), such as \"127.0.0.1:3000\", \"[::1]:3000\" or \":3000\", without a \
                   scheme",
        schema: { "type": "string", "pattern": "^\\s*(.*:[0-9]+)?\\s*$" },
        read: |text| {
            let text = text.trim();
            if text.is_empty() {
                return Some(None);
            }
            let (host, port) = text.rsplit_once(':')?;
            // Without brackets nothing says where an IPv6 address ends and the port begins.
            if host.contains(':') && !host.starts_with('[') {
                return None;
            }
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|_| digits)?;
            Some(Some(ListenAddress { host: Host::read(host)?, port }))
        },
        shown: |address| json!(address.as_ref().map(ToString::to_string).unwrap_or_default()),
    }

    /// An address: scheme, host and perhaps a path, without a slash at the end.
    BaseUrl -> Arc<str> {
        accepted: "a URL that begins with http:// or https://, without a user name, a query or a fragment",
        schema: { "type": "string", "format": "uri" },
        read: |text| {
            let url = Url::parse(text.trim()).ok()?;
            let fits = matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            fits.then(|| url.as_str().trim_end_matches('/').into())
        },
        shown: |url| json!(url.as_ref()),
    }

    /// An address that may lack its scheme, as the Go framework spells Mada's: `http://` is meant. Kept as it was given.
    PlainUrl -> String {
        accepted: format!(
            "host, port and path such as \"sms.example.com:8080/soap\" (http:// is added), or {}", BaseUrl::accepted()
        ),
        schema: { "type": "string", "format": "uri-reference" },
        read: |text| BaseUrl::read(&with_scheme(text.trim())).map(|_| text.trim().to_owned()),
        shown: |url| json!(url),
    }

    /// The text of a message, before it is checked.
    MessageText -> String {
        accepted: "a text that contains {code}",
        schema: { "type": "string", "pattern": "\\{code\\}|_CODE_", "maxLength": template::LONGEST },
        read: |text| Some(text.to_owned()),
        shown: |text| json!(text),
    }

    LocaleTag -> Locale {
        accepted: "a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)",
        schema: {
            "type": "string",
            "pattern": "^\\s*[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*\\s*$",
            IN_REQUESTS: { "type": "string", "pattern": LANGUAGE, "example": "de" },
        },
        read: |text| Locale::parse(text.trim()),
        shown: |locale| json!(locale.to_string()),
    }

    WebDomain -> String {
        accepted: "the host name of a web site such as \"example.com\", without a scheme, a port or a path (a name with \
                   other letters in its xn-- form)",
        schema: { "type": "string", "pattern": "^\\s*[A-Za-z0-9.-]+\\s*$" },
        read: |text| {
            let text = text.trim().to_ascii_lowercase();
            let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            let plain = !text.is_empty() && text.len() <= 253 && text.chars().all(of_name);
            // An address in numbers is no name, and a browser binds no code to it.
            let host = Url::parse(&format!("https://{text}/")).ok()?.domain().map(str::to_owned);
            (plain && host.as_deref() == Some(text.as_str())).then_some(text)
        },
        shown: |domain| json!(domain),
    }

    Password -> SecretString {
        accepted: "a secret of 1 to 256 characters without line breaks",
        schema: { "type": "string", "writeOnly": true },
        read: |text| is_line(text).then(|| text.into()),
        shown: |_secret| json!(NOT_SHOWN),
    }

    /// The name of an account. HTTP Basic authentication (RFC 7617) puts a colon behind it.
    Login -> SecretString {
        accepted: "a name of 1 to 256 characters without colons and line breaks",
        schema: { "type": ["string", "number"], "writeOnly": true },
        read: |text| (is_line(text.trim()) && !text.contains(':')).then(|| text.trim().into()),
        shown: |_login| json!(NOT_SHOWN),
    }

    /// The public half of a pair of key and secret.
    Identifier -> SecretString {
        accepted: "an id of at most 256 printable ASCII characters without spaces and colons",
        schema: { "type": ["string", "number"], "writeOnly": true },
        read: |text| (is_word(text.trim(), 1, 256) && !text.contains(':')).then(|| text.trim().into()),
        shown: |_id| json!(NOT_SHOWN),
    }

    Token -> SecretString {
        accepted: "a token of at most 256 printable ASCII characters without spaces",
        schema: { "type": "string", "writeOnly": true },
        read: |text| is_word(text.trim(), 1, 256).then(|| text.trim().into()),
        shown: |_token| json!(NOT_SHOWN),
    }

    /// The auth token of this server's own account.
    AccountToken -> SecretString {
        accepted: "16 to 128 visible ASCII characters without spaces, such as `openssl rand -hex 16` makes them; it is \
                   compared by a fast hash, so it must be random",
        schema: { "type": "string", "writeOnly": true },
        read: |text| is_word(text.trim(), 16, 128).then(|| text.trim().into()),
        shown: |_token| json!(NOT_SHOWN),
    }

    /// The id of this server's own account. No secret, but a token is easily pasted into the wrong variable.
    AccountSid -> AccountId {
        accepted: "AC and 32 hexadecimal digits, such as `echo AC$(openssl rand -hex 16)` makes them",
        schema: { "type": "string", "writeOnly": true },
        read: |text| AccountId::parse(SidKind::Account, text.trim()),
        shown: |sid| json!(sid.to_string()),
    }

    /// Whom a message comes from: the longest address of a short message (3GPP TS 23.040, 9.1.2.5) has 20 digits.
    SourceName -> String {
        accepted: "a sender of 1 to 20 characters, such as a name",
        schema: { "type": ["string", "number"], "minLength": 1, "maxLength": 20 },
        read: |text| {
            let text = text.trim();
            let fits = (1..=20).contains(&text.chars().count()) && !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        },
        shown: |name| json!(name),
    }

    /// A whole phone number of ours.
    OwnNumber -> PhoneNumber {
        accepted: "a phone number with + and country code such as +14155552671, without \"whatsapp:\" or another prefix",
        schema: { "type": "string", "writeOnly": true },
        read: |text| own_number(text.trim()),
        shown: |number| json!(number.to_string()),
    }

    /// Whom messages of Twilio come from. A number is masked, a name is shown as it is.
    SenderNumber -> String {
        accepted: "a phone number, a short code or an alphanumeric sender, without \"whatsapp:\" or another prefix",
        schema: { "type": "string", "writeOnly": true },
        read: |text| {
            let text = text.trim();
            let fits = (1..=40).contains(&text.len()) && !text.contains(':') && !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        },
        shown: |sender| json!(own_number(sender).map_or_else(|| sender.clone(), |number| number.to_string())),
    }
}

/// An id of an account or a service at Twilio, whose own begin with the letters `A` and `B`. No secret, but a token is easily
/// pasted into the wrong variable. It becomes part of a URL, so it must not be able to change the path.
pub struct Sid<const A: char, const B: char>;

impl<const A: char, const B: char> Kind for Sid<A, B> {
    type Value = String;

    fn read(text: &str) -> Option<String> {
        let text = text.trim();
        let of_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        ((1..=64).contains(&text.len()) && text.bytes().all(of_id)).then(|| text.to_owned())
    }

    /// Enough of an id to recognise it.
    fn shown(sid: &String) -> Value {
        match (sid.get(..6), sid.get(sid.len().saturating_sub(4)..)) {
            (Some(head), Some(tail)) if sid.len() > 16 => json!(format!("{head}...{tail}")),
            _ => json!(NOT_SHOWN),
        }
    }

    fn accepted() -> String {
        format!(
            "{A}{B} and 32 hexadecimal digits, as Twilio's console shows it (behind another TWILIO_BASE_URL at most 64 \
             letters, digits, hyphens and underscores)"
        )
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// A key that only another system has a use for: anything, and never shown.
pub struct Ignored;

impl Kind for Ignored {
    type Value = String;

    fn of(_: &Value) -> Option<String> {
        Some(String::new())
    }

    fn shown(_: &String) -> Value {
        Value::Null
    }

    fn accepted() -> String {
        "anything".to_owned()
    }

    fn schema() -> Schema {
        Text::schema()
    }
}

objects! {
    /// Texts by channel and language, before their names and they themselves are checked.
    MessageTexts {
        accepted: "an object of texts such as {\"sms\": \"Your code is {code}\", \"call\": {\"de\": \"Ihr Code ist {code}\"}}",
        schema: {
            let text = MessageText::schema();
            let of_channel =
                json_schema!({ "anyOf": [text, { "type": "object", "additionalProperties": text }] });
            json_schema!({ "type": "object", "additionalProperties": false, "properties": {
                "sms": of_channel, "call": of_channel, "whatsapp": of_channel, "any": of_channel,
            }})
        },
        shown: |texts| json!(texts),
    }
}

/// Channels that are tried one after another; none when it is empty.
pub struct Workflow;

impl Workflow {
    /// The most steps: a longer workflow outlasts any wait.
    pub const LONGEST: usize = 10;
    /// How long a step waits for a receipt where the setting does not say it.
    const STEP: Duration = Duration::from_secs(20);

    fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Vec<WorkflowStep>> {
        // `sms` or `sms:20s`.
        let step = |text: &str| {
            let (channel, timeout) = match text.split_once(':') {
                Some((channel, timeout)) => (channel, Span::<StepWait>::read(timeout)?),
                None => (text, Self::STEP),
            };
            Some(WorkflowStep { channel: Channel::parse(channel.trim())?, timeout })
        };
        texts.map(step).collect::<Option<Vec<_>>>().filter(|steps| steps.len() <= Self::LONGEST)
    }

    /// As one text: `sms:20s,call:20s`.
    pub fn text(steps: &[WorkflowStep]) -> String {
        let step = |step: &WorkflowStep| {
            format!("{}:{}", step.channel.as_str(), humantime::format_duration(step.timeout))
        };
        steps.iter().map(step).collect::<Vec<_>>().join(",")
    }
}

impl Kind for Workflow {
    type Value = Vec<WorkflowStep>;

    fn of(value: &Value) -> Option<Self::Value> {
        match value {
            Value::Array(items) => {
                let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                Self::of_texts(texts?.into_iter())
            }
            Value::String(text) => Self::read(text),
            _ => None,
        }
    }

    fn read(text: &str) -> Option<Self::Value> {
        if text.trim().is_empty() {
            return Some(Vec::new());
        }
        // In a variable the list may be spelled as in the file.
        if text.trim_start().starts_with('[') {
            let texts: Vec<String> = serde_json::from_str(text).ok()?;
            return Self::of_texts(texts.iter().map(String::as_str));
        }
        Self::of_texts(text.split(','))
    }

    fn shown(steps: &Self::Value) -> Value {
        json!(Self::text(steps))
    }

    fn accepted() -> String {
        format!(
            "a list of at most {} channels (\"sms\", \"call\", \"whatsapp\"), each perhaps with the time to wait for a \
             receipt from 1s to 1h, such as [\"sms:20s\", \"call\"] or \"sms:20s,call\"",
            Self::LONGEST
        )
    }

    fn schema() -> Schema {
        let step =
            "\\s*([Ss][Mm][Ss]|[Cc][Aa][Ll][Ll]|[Ww][Hh][Aa][Tt][Ss][Aa][Pp][Pp])\\s*(:[0-9A-Za-z\\s]+)?";
        json_schema!({ "anyOf": [
            { "type": "array", "maxItems": Self::LONGEST, "items": { "type": "string", "pattern": format!("^{step}$") } },
            { "type": "string", "pattern": format!("^({step}(,{step})*|\\s*)$") },
        ]})
    }
}

/// The steps that a text spells, as the setting `workflow` does; `None` when it spells none.
pub fn workflow_steps(text: &str) -> Option<Vec<WorkflowStep>> {
    Workflow::read(text).filter(|steps| !steps.is_empty())
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

/// A number of ours. One in E.164 form is read without the metadata of all numbering plans, which takes 10 MiB of memory
/// that an idle server does without; whether its country has numbers of that length is for the provider to say.
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
    let url = Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(|host| host == "twilio.com" || host.ends_with(".twilio.com")))
        .unwrap_or_default()
}

/// Whether a text that is no URL may hold a password.
pub fn may_hold_password(text: &str) -> bool {
    text.contains(['@', '?'])
}

/// Reads the tutorial's `HOST`: a host, perhaps with a port, or a URL such as `http://localhost:5000`. `None` when it is
/// neither.
pub fn host_variable(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    if !text.contains("://") {
        let text = text.strip_suffix('/').unwrap_or(text);
        if let Some(host) = Host::read(text) {
            return Some((host, None)).filter(|(host, _)| !host.is_empty());
        }
        let address = HostPort::read(text)?.filter(|address| !address.host.is_empty())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_brand_cannot_smuggle_a_placeholder_or_a_line_into_a_message() {
        assert_eq!(Brand::read("  Acme & Sons ").as_deref(), Some("Acme & Sons"));
        for text in ["a{code}", "x}", "a\nb", "_CODE_", &"x".repeat(101)] {
            assert_eq!(Brand::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn host_and_port_are_split_where_they_should_be() {
        for (text, host, port) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000),
            (":8080", "", 8080),
            ("[::1]:0", "::1", 0),
            (" example.com:443 ", "example.com", 443),
        ] {
            let expected = Some(ListenAddress { host: host.to_owned(), port });
            assert_eq!(HostPort::read(text), Some(expected), "{text}");
        }
        for text in
            ["localhost", "::1", "::1:3000", "localhost:", "a:70000", "a:+1", "http://a:1", "a b:1", "[x]:1"]
        {
            assert_eq!(HostPort::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_tutorials_host_may_be_a_url() {
        for (text, host, port) in [
            ("http://localhost", "localhost", None),
            ("http://localhost:5000/", "localhost", Some(5000)),
            ("https://example.com", "example.com", None),
            ("http://[::1]:5000", "::1", Some(5000)),
            ("127.0.0.1", "127.0.0.1", None),
            ("[::1]", "::1", None),
            ("localhost/", "localhost", None),
            ("127.0.0.1:5000/", "127.0.0.1", Some(5000)),
            ("[::1]:5000", "::1", Some(5000)),
        ] {
            assert_eq!(host_variable(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in
            ["ftp://localhost", "http://", "local host", "localhost:", "localhost:x", ":3000", "/", " "]
        {
            assert_eq!(host_variable(text), None, "{text}");
        }
    }

    #[test]
    fn a_base_url_loses_its_last_slash_and_keeps_its_path() {
        for (text, base) in [
            ("https://api.twilio.com/", "https://api.twilio.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://gateway.example/api/laml/", "https://gateway.example/api/laml"),
        ] {
            assert_eq!(BaseUrl::read(text).as_deref(), Some(base), "{text}");
        }
        for text in
            ["", "api.twilio.com", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x#a", "https://"]
        {
            assert_eq!(BaseUrl::read(text), None, "{text}");
        }
        for text in ["", "ftp://x", "me:secret@x", "x?a=b", ":80"] {
            assert_eq!(PlainUrl::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_plain_url_is_exposed_unless_it_stays_on_this_machine() {
        for (text, exposed) in [
            ("http://gateway.example", true),
            ("https://gateway.example", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("sms.example.com:80/soap", true),
            ("127.0.0.1:80/soap", false),
        ] {
            assert_eq!(is_exposed(text), exposed, "{text}");
        }
    }

    #[test]
    fn only_twilios_own_hosts_are_twilio() {
        for (text, own) in [
            ("https://api.twilio.com", true),
            ("https://api.dublin.ie1.twilio.com", true),
            ("https://nottwilio.com", false),
            ("http://localhost:1", false),
        ] {
            assert_eq!(is_twilio_host(text), own, "{text}");
        }
    }

    #[test]
    fn a_web_site_is_a_name_and_nothing_more() {
        for (text, domain) in [(" Example.com ", "example.com"), ("localhost", "localhost")] {
            assert_eq!(WebDomain::read(text).as_deref(), Some(domain));
        }
        for text in ["", "https://example.com", "example.com:443", "example.com/x", "127.0.0.1", "münchen.de"]
        {
            assert_eq!(WebDomain::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn texts_may_be_an_object_or_json_in_a_text() {
        assert_eq!(MessageTexts::read(r#"{"sms": "{code}"}"#).map(|texts| texts.len()), Some(1));
        for text in ["", "{", "[]", "sms", "3"] {
            assert_eq!(MessageTexts::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_workflow_is_a_list_or_a_text() {
        let shown = |value: &Value| Workflow::of(value).map(|steps| Workflow::shown(&steps));
        let list = shown(&json!(["sms:20s", "call", "WhatsApp: 1m"]));
        assert_eq!(list, Some(json!("sms:20s,call:20s,whatsapp:1m")));
        assert_eq!(list, shown(&json!("sms, call:20,whatsapp:60s")));
        assert_eq!(list, shown(&json!(r#" ["sms:20s", "call", "whatsapp:60s"]"#)));
        assert_eq!([json!(""), json!([])].map(|empty| Workflow::of(&empty)), [Some(vec![]), Some(vec![])]);
        let long = ["sms"; Workflow::LONGEST + 1].join(",");
        for text in
            ["mail", "sms,", "sms:0", "sms:2h", "sms:soon", "sms;call", "[\"sms\"", "[1]", long.as_str()]
        {
            assert_eq!(Workflow::read(text), None, "{text:?}");
        }
        assert_eq!([json!([1, 2]), json!(3)].map(|wrong| Workflow::of(&wrong)), [None, None]);
    }

    #[test]
    fn a_credential_is_one_line_and_a_colon_would_move_the_end_of_a_name() {
        let read = Password::read("correct horse").map(|secret| secret.expose_secret().to_owned());
        assert_eq!(read.as_deref(), Some("correct horse"));
        for text in ["", " ", "a\nb", &"x".repeat(257)] {
            assert!(Password::read(text).is_none(), "{text:?}");
        }
        assert!(!format!("{:?}", Password::read("hunter2")).contains("hunter2"));
        assert!(Login::read("a:b").is_none() && Identifier::read("a:b").is_none());
        assert!(Login::read(" me and you ").is_some_and(|name| name.expose_secret() == "me and you"));
        assert!(Identifier::read("me and you").is_none());
        assert!(SourceName::read(&"x".repeat(20)).is_some());
        for text in ["", "a\tb", &"x".repeat(21)] {
            assert!(SourceName::read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        for text in ["", "AC/../x", "AC?x", "AC x", "AC%2e", &"a".repeat(65)] {
            assert_eq!(Sid::<'A', 'C'>::read(text), None, "{text:?}");
        }
        assert_eq!(Sid::<'A', 'C'>::read(" AC12-3_4 ").as_deref(), Some("AC12-3_4"));
        let digits = "0123456789abcdef0123456789ABCDEF";
        for (text, own) in [
            (format!("AC{digits}"), true),
            (format!("MG{digits}"), false),
            (format!("AC{digits}0"), false),
            (format!("AC{}g", &digits[1..]), false),
            ("AC".to_owned(), false),
        ] {
            assert_eq!(is_twilio_sid("AC", &text), own, "{text}");
        }
    }

    #[test]
    fn what_twilio_can_send_from_is_a_number_a_short_code_or_a_name() {
        for text in ["+14155552671", "+1 415 555 2671", "123", "12345678", "Acme", "Acme & Sons", "A"] {
            assert!(is_twilio_sender(text), "{text}");
        }
        for text in [
            "+1",
            "+1...",
            "12",
            "123456789",
            "4155552671",
            "Acme and Sons",
            "Acme.com",
            "...",
            "&-_+",
            "Ac\u{fc}me",
        ] {
            assert!(!is_twilio_sender(text), "{text}");
        }
        let sender =
            SenderNumber::read(" +1 415 555 2671 ").map(|sender| (SenderNumber::shown(&sender), sender));
        assert_eq!(sender, Some((json!("+1415*****71"), "+1 415 555 2671".to_owned())));
        assert_eq!(SenderNumber::read("whatsapp:+14155552671"), None);
    }
}
