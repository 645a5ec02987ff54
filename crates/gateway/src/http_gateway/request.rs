//! A description, filled in for a message. At the start it is tried with made-up values: what fails then is wrong.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::description::{HttpAccount, HttpCheck, HttpGatewaySettings, HttpMethod, Read};
use super::receipts::callback_address;
use super::signing::AwsKey;
use crate::OutgoingMessage;
use crate::domain::{Channel, Code, PhoneNumber, Timestamp};
use crate::recipe::{basic_credentials, provider_url};
use crate::template::{Alphabet, PieceKind, pieces};

/// All characters except the unreserved ones of RFC 3986 (2.3): an inserted value can end neither a segment of a path
/// nor a value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The placeholders of messages, and a value of each that a message could have.
const PLACEHOLDERS: [(&str, &str); 11] = [
    ("to", "+1"),
    ("to_digits", "1"),
    ("text", "é"),
    ("code", "1"),
    ("channel", "sms"),
    ("validity_seconds", "1"),
    ("validity_minutes", "1"),
    ("locale", "en"),
    ("alphabet", "gsm7"),
    ("attempt", "1"),
    ("callback", "https://example.com"),
];

enum Body<'a> {
    Json(&'a Value),
    Form(&'a BTreeMap<String, String>),
    Xml(String),
}

/// What is put into a description.
pub(super) struct Filling<'a> {
    settings: &'a HttpGatewaySettings,
    /// The values of a message, by placeholder; of others it has none, and they are empty.
    values: BTreeMap<&'static str, String>,
    used: BTreeSet<&'static str>,
}

impl HttpGatewaySettings {
    /// Tries every request of the description.
    ///
    /// # Errors
    /// The first problem of the description.
    pub fn examine(&self) -> Read<()> {
        self.tried().map(drop)
    }

    /// Whether the provider gets a text, and does not word the message itself.
    pub(super) fn carries_text(&self) -> bool {
        let values = PLACEHOLDERS.map(|(name, value)| (name, value.to_owned())).into();
        let mut message = Filling { values, ..Filling::empty(self) };
        message.message(Timestamp::from_millis(0)).is_ok() && message.used.contains("text")
    }

    /// The same; returns the address of a message.
    pub(crate) fn tried(&self) -> Read<Url> {
        if self.channels.is_empty() {
            return self.wrong("channels", format!("must name a channel: {}", Channel::names(", ")));
        }
        let sample = || {
            let values = PLACEHOLDERS.map(|(name, value)| (name, value.to_owned())).into();
            Filling { values, ..Filling::empty(self) }
        };
        let now = Timestamp::from_millis(0);
        let mut message = sample();
        let request = message.message(now)?;
        message.check_used("", self.check.is_none())?;
        if let Some(receipts) = &self.receipts {
            receipts.check(self, &message.used)?;
        }
        for (check, (channel, json)) in
            self.check.iter().flat_map(|check| check.json.iter().map(move |of| (check, of)))
        {
            if Channel::parse(channel).is_none() {
                let words = format!("must have bodies for channels: {}", Channel::names(", "));
                return self.wrong("check.json", words);
            }
            let mut question = sample();
            question.check(check, json, now)?;
            question.check_used("check", true)?;
        }
        if let Some(account) = &self.account {
            Filling::empty(self).account(account)?;
        }
        if self.success.json.is_some() == self.success.equals.0.is_empty() {
            let words = "needs both \"json\", where a value is in the answer, and \"equals\", the values that mean success";
            return self.wrong("success", words);
        }
        Ok(request.url().clone())
    }
}

impl<'a> Filling<'a> {
    pub(super) const fn empty(settings: &'a HttpGatewaySettings) -> Self {
        Self { settings, values: BTreeMap::new(), used: BTreeSet::new() }
    }

    pub(super) fn to(
        settings: &'a HttpGatewaySettings,
        to: PhoneNumber,
        channel: Channel,
        code: &Code,
    ) -> Self {
        let word = settings.channel_words.get(channel.as_str());
        let values = [
            ("to", to.e164()),
            ("to_digits", to.as_u64().to_string()),
            ("code", code.expose().to_owned()),
            ("channel", word.map_or(channel.as_str(), String::as_str).to_owned()),
        ];
        Self { values: values.into(), ..Self::empty(settings) }
    }

    pub(super) fn of(settings: &'a HttpGatewaySettings, message: &OutgoingMessage) -> Self {
        let OutgoingMessage { channel, text, code, locale, valid_for, attempt, callback, .. } = message;
        let callback = callback.as_ref().and_then(|callback| callback_address(settings, callback));
        let seconds = valid_for.as_secs();
        let mut filling = Self::to(settings, message.recipient(), *channel, code);
        filling.values.extend([
            ("text", text.clone()),
            // A provider may read 0 as "no limit".
            ("validity_seconds", seconds.max(1).to_string()),
            ("validity_minutes", seconds.div_ceil(60).max(1).to_string()),
            ("alphabet", self::alphabet(settings, text)),
            ("locale", locale.map(|locale| locale.to_string()).unwrap_or_default()),
            ("attempt", attempt.to_string()),
            ("callback", callback.unwrap_or_default()),
        ]);
        filling
    }

    /// The request that hands the message over.
    pub(super) fn message(&mut self, now: Timestamp) -> Read<Request> {
        let HttpGatewaySettings { method, url, json, form, xml, .. } = self.settings;
        let xml = (!xml.0.is_empty()).then(|| xml.0.concat());
        let bodies = [json.as_ref().map(Body::Json), form.as_ref().map(Body::Form), xml.map(Body::Xml)];
        let mut bodies = bodies.into_iter().flatten();
        let body = bodies.next();
        if bodies.next().is_some() {
            return self.settings.wrong("", "has two of json, form and xml, and a message has one body");
        }
        self.request("url", (*method, url), body, now)
    }

    /// The request that asks about a code.
    pub(super) fn check(&mut self, check: &HttpCheck, json: &Value, now: Timestamp) -> Read<Request> {
        self.request("check.url", (Some(HttpMethod::Put), &check.url), Some(Body::Json(json)), now)
    }

    pub(super) fn account(&mut self, account: &HttpAccount) -> Read<Request> {
        let mut request = Request::new(Method::GET, self.url(&account.url, "account.url")?);
        *request.headers_mut() = self.headers()?;
        Ok(request)
    }

    /// A request that forgets the number or the code would be accepted, and paid for, to no end.
    fn check_used(&self, member: &str, needs_code: bool) -> Read<()> {
        let has = |wanted: [&str; 2]| wanted.iter().any(|wanted| self.used.contains(wanted));
        if !has(["to", "to_digits"]) {
            let words = "has neither {to} nor {to_digits}: the message would have no recipient";
            return self.settings.wrong(member, words);
        } else if needs_code && !has(["text", "code"]) {
            return self
                .settings
                .wrong(member, "has neither {text} nor {code}: the message would carry no code");
        }
        Ok(())
    }

    fn request(
        &mut self,
        url_setting: &str,
        (method, url): (Option<HttpMethod>, &str),
        body: Option<Body<'_>>,
        now: Timestamp,
    ) -> Read<Request> {
        let settings = self.settings;
        let method = match method {
            Some(HttpMethod::Get) if body.is_some() => {
                let words = "is GET, which has no body: use POST or PUT, or leave json, form and xml out";
                return settings.wrong("method", words);
            }
            None if body.is_some() => Method::POST,
            Some(HttpMethod::Get) | None => Method::GET,
            Some(HttpMethod::Post) => Method::POST,
            Some(HttpMethod::Put) => Method::PUT,
        };
        let mut request = Request::new(method, self.url(url, url_setting)?);
        let mut text = String::new();
        if let Some(body) = body {
            let content_type;
            (content_type, text) = self.body(body)?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            *request.body_mut() = Some(text.clone().into());
        }
        request.headers_mut().extend(self.headers()?);
        if let Some(key) = &settings.aws {
            self.sign(key, &mut request, &text, now)?;
        }
        Ok(request)
    }

    /// Adds the headers of the signature to a request with this body. The URL has no query, and a path of plain characters.
    fn sign(&mut self, key: &AwsKey, request: &mut Request, body: &str, now: Timestamp) -> Read<()> {
        let settings = self.settings;
        let mut text = |text: &str| Ok(self.unless_empty(text, "aws")?.unwrap_or_default());
        let ids = AwsKey {
            region: text(&key.region)?,
            service: text(&key.service)?,
            key_id: text(&key.key_id)?,
            secret: settings.key(&key.secret, "aws.secret")?.to_owned(),
        };
        match HeaderValue::from_str(&ids.authorization(request, body, now)) {
            Ok(value) => drop(request.headers_mut().insert(AUTHORIZATION, value)),
            Err(_) => return settings.wrong("aws", "must be of visible ASCII characters"),
        }
        Ok(())
    }

    fn body(&mut self, body: Body<'_>) -> Read<(&'static str, String)> {
        Ok(match body {
            Body::Json(json) => ("application/json", self.json(json)?.unwrap_or_default().to_string()),
            Body::Form(fields) => {
                let mut form = Serializer::new(String::with_capacity(512));
                for (name, text) in fields {
                    if let Some(value) = self.unless_empty(text, &format!("form.{name}"))? {
                        form.append_pair(name, &value);
                    }
                }
                ("application/x-www-form-urlencoded", form.finish())
            }
            Body::Xml(text) => {
                ("text/xml", self.fill(&text, "xml", |xml, value| xml.push_str(&escape(xml_text(value))))?)
            }
        })
    }

    /// `None` for a text of placeholders that are all empty. A text `{name:number}` becomes a number.
    fn json(&mut self, value: &Value) -> Read<Option<Value>> {
        Ok(match value {
            Value::String(text) => match text.strip_suffix(":number}") {
                Some(number) => {
                    let filled = self.unless_empty(&format!("{number}}}"), "json")?;
                    filled.and_then(|number| number.parse::<u64>().ok()).map(Value::from)
                }
                None => self.unless_empty(text, "json")?.map(Value::String),
            },
            Value::Array(items) => {
                let items = items.iter().filter_map(|item| self.json(item).transpose());
                Some(Value::Array(items.collect::<Read<_>>()?))
            }
            Value::Object(members) => {
                let filled = members.iter().filter_map(|(name, value)| {
                    Some(self.json(value).transpose()?.map(|value| (name.clone(), value)))
                });
                Some(Value::Object(filled.collect::<Read<_>>()?))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        })
    }

    fn headers(&mut self) -> Read<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(self.settings.headers.len());
        for (written, text) in &self.settings.headers {
            let setting = format!("headers.{written}");
            let name = self.settings.header(written, &setting)?;
            let Some(value) = self.unless_empty(text, &setting)? else { continue };
            let is_visible = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            let Some(mut value) = HeaderValue::from_str(&value).ok().filter(|_| is_visible) else {
                let words =
                    "must be visible ASCII characters and spaces, secrets included: {text} cannot be in it";
                return self.settings.wrong(&setting, words);
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// A URL. Its scheme, host and port must be written out, or be the setting `url`: no part of a message may decide
    /// which server gets the code.
    fn url(&mut self, text: &str, setting: &str) -> Read<Url> {
        let settings = self.settings;
        if text.is_empty() {
            let words = "is missing: say where messages go, such as \"https://sms.example.com/send\"";
            return settings.wrong(setting, words);
        }
        let behind_url = text.strip_prefix("{url}");
        let written = behind_url.unwrap_or(text);
        let behind_scheme = written.find("://").map_or(0, |place| place + "://".len());
        let authority_ends = written[behind_scheme..].find(['/', '?', '#']).map(|end| behind_scheme + end);
        let is_written_out = match (behind_url, written.find('{')) {
            (Some(""), _) | (None, None) => true,
            (Some(behind), _) => behind.starts_with(['/', '?', '#']),
            (None, Some(placeholder)) => authority_ends.is_some_and(|end| end < placeholder),
        };
        if !is_written_out {
            let words = "must have scheme and host written out, and a / or ? before the first placeholder";
            return settings.wrong(setting, words);
        }
        let url = self.fill(text, setting, |text, value| text.extend(utf8_percent_encode(value, ENCODED)))?;
        provider_url(settings.owner.gateway, &settings.owner.setting(setting), &url)
    }

    /// The text with values as they are; `None` if there are placeholders and all of it is empty.
    fn unless_empty(&mut self, text: &str, setting: &str) -> Read<Option<String>> {
        let filled = self.fill(text, setting, String::push_str)?;
        Ok(Some(filled).filter(|filled| text.is_empty() || !filled.is_empty()))
    }

    /// The text with its placeholders replaced. Each value goes through `put_in`, the written parts do not. `{{` and `}}`
    /// stand for braces themselves. `setting` says in errors where the text was written.
    fn fill(&mut self, text: &str, setting: &str, put_in: impl Fn(&mut String, &str)) -> Read<String> {
        let mut filled = String::with_capacity(256);
        for (raw, kind) in pieces(text) {
            match kind {
                PieceKind::Text => filled.push_str(raw),
                PieceKind::Double(name) => filled.extend(["{", name, "}"]),
                PieceKind::DoubleBrace(brace) => filled.push(brace),
                PieceKind::Single("url") if self.settings.owner.credentials.contains_key("url") => {
                    filled.push_str(self.settings.credential("url", "url", setting)?.trim_end_matches('/'));
                }
                PieceKind::Single(name) => put_in(&mut filled, &self.value(name, setting)?),
                PieceKind::Stray(_) => {
                    let words = "has a brace without its partner; write {{ or }} for a brace itself";
                    return self.settings.wrong(setting, words);
                }
            }
        }
        Ok(filled)
    }

    fn value(&mut self, name: &str, setting: &str) -> Read<String> {
        let HttpGatewaySettings { owner, basic, .. } = self.settings;
        if let Some((name @ ("validity_seconds" | "validity_minutes"), bounds)) = name.split_once(':') {
            let value = self.value(name, setting)?;
            let Some((least, most)) = range(bounds) else {
                let words = format!("has {{{name}:}} without two numbers, such as {{{name}:30..3600}}");
                return self.settings.wrong(setting, words);
            };
            // A sample is empty where no message is.
            return Ok(value.parse().map_or(value, |value: u64| value.clamp(least, most).to_string()));
        }
        if let Some((known, _)) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name) {
            self.used.insert(known);
            return Ok(self.values.get(known).cloned().unwrap_or_default());
        }
        if owner.credentials.contains_key(name) {
            return self.settings.credential(name, name, setting).map(str::to_owned);
        }
        if name == "basic" {
            let basic = basic.as_ref().map(|[user, password]| [user.as_str(), password]);
            let [user, password] = basic.unwrap_or(["username", "password"]);
            let user_name = self.settings.credential(user, name, setting)?;
            let password = self.settings.credential(password, name, setting)?;
            return Ok(basic_credentials(user_name, password));
        }
        // A name that is not one of ours could be anything, even a secret in braces: only what looks
        // like a name is repeated.
        let is_name =
            (1..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let shown = if is_name { name } else { "" };
        self.settings.wrong(setting, format!("has an unknown placeholder {{{shown}}}"))
    }
}

/// Two numbers in order, such as `30..3600`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (least, most) = text.split_once("..")?;
    Some((least.parse().ok()?, most.parse().ok()?)).filter(|(least, most)| least <= most)
}

/// The alphabet in which the provider sends a text.
pub(super) fn alphabet_of(settings: &HttpGatewaySettings, text: &str) -> Alphabet {
    let words = &settings.alphabet;
    let is_ucs2_alone = words.contains_key(&Alphabet::Ucs2) && !words.contains_key(&Alphabet::Gsm7);
    if is_ucs2_alone { Alphabet::Ucs2 } else { Alphabet::of(text) }
}

/// The provider's word for it.
fn alphabet(settings: &HttpGatewaySettings, text: &str) -> String {
    let alphabet = alphabet_of(settings, text);
    settings.alphabet.get(&alphabet).map_or(alphabet.as_str(), String::as_str).to_owned()
}

/// A value without the characters that XML 1.0 (2.2) has no place for: most control characters.
fn xml_text(value: &str) -> String {
    let can_be_written = |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    value.chars().map(|c| if can_be_written(c) { c } else { ' ' }).collect()
}
