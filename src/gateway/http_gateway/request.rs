//! A request, described once and filled in for each message.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use reqwest::{Method, Request};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::signing::Signer;
use crate::clock::Clock;
use crate::domain::Channel;
use crate::gateway::settings::{basic_credentials, provider_url};
use crate::gateway::{GatewaySettingsError, HttpBody, HttpGatewaySettings, OutgoingMessage};
use crate::template::placeholder::{PieceKind, pieces};

type Result<T> = std::result::Result<T, GatewaySettingsError>;

/// All characters except the unreserved ones of RFC 3986 (2.3): an inserted value can end neither a segment of a path
/// nor a value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers that the HTTP library writes itself.
const NOT_OURS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// The description. Has no `Debug`: secrets are filled in already.
pub(super) struct RequestTemplate {
    method: Method,
    address: Url,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    body: BodyTemplate,
    signer: Option<Signer>,
    words: BTreeMap<String, String>,
}

enum BodyTemplate {
    Empty,
    Json(JsonTemplate),
    Form(Vec<(String, Template)>),
}

/// A JSON value whose texts are templates. What is put in becomes part of a text, and is escaped when the whole is
/// written.
enum JsonTemplate {
    Fixed(Value),
    Text(Template),
    /// A text `{name:number}`, which becomes a number.
    Number(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

pub(super) struct Template(Vec<TemplatePart>);

enum TemplatePart {
    Written(String),
    Secret(Zeroizing<String>),
    Message(FromMessage),
    Callback,
    Channel,
}

type FromMessage = fn(&OutgoingMessage) -> String;

const PLACEHOLDERS: [(&str, FromMessage); 10] = [
    ("to", |message| message.to.e164()),
    ("to_digits", |message| message.to.as_u64().to_string()),
    ("text", |message| message.text.clone()),
    ("code", |message| message.code.expose().to_owned()),
    ("channel", |_| String::new()),
    // A provider may read 0 as "no limit".
    ("validity_seconds", |message| message.valid_for.as_secs().max(1).to_string()),
    ("validity_minutes", |message| message.valid_for.as_secs().div_ceil(60).max(1).to_string()),
    ("locale", |message| message.locale.map(|locale| locale.to_string()).unwrap_or_default()),
    ("attempt", |message| message.attempt.to_string()),
    // As `channel`, not of the message alone: see `RequestTemplate::filled_in`.
    ("callback", |_| String::new()),
];

impl RequestTemplate {
    pub(super) fn new(settings: &HttpGatewaySettings) -> Result<Self> {
        let mut reader = TemplateReader { settings, used: Vec::new() };
        let problem = |member: &str, words: &str| settings.owner.problem(member, words);
        let method = method(&settings.method).ok_or_else(|| problem("method", "must be GET, POST or PUT"))?;
        let url = reader.template(&settings.url, "url")?;
        let address = settings.address(&url)?;
        let headers = reader.headers()?;
        let body = match &settings.body {
            HttpBody::Empty => BodyTemplate::Empty,
            HttpBody::Json(value) => BodyTemplate::Json(reader.json(value)?),
            HttpBody::Form(fields) => BodyTemplate::Form(reader.form(fields)?),
        };
        if method == Method::GET && !matches!(body, BodyTemplate::Empty) {
            let words = "is GET, which has no body: use POST or PUT, or leave json and form out";
            return Err(problem("method", words));
        }
        // A request that forgets the number or the code would be accepted, and paid for, to no end.
        if !["to", "to_digits"].iter().any(|wanted| reader.used.contains(wanted)) {
            let words = "has neither {to} nor {to_digits}: the message would have no recipient";
            return Err(problem("", words));
        }
        let has_code = ["text", "code"].iter().any(|wanted| reader.used.contains(wanted));
        if !has_code && settings.check.is_none() {
            let words = "has neither {text} nor {code}: the message would carry no code";
            return Err(problem("", words));
        }
        let signer = settings.sign.as_ref().map(|sign| Signer::new(sign, &mut reader)).transpose()?;
        Ok(Self { method, address, url, headers, body, signer, words: settings.channel_words.clone() })
    }

    /// The requests that ask about a code, by channel.
    pub(super) fn of_checks(settings: &HttpGatewaySettings) -> Result<Vec<(Channel, Self)>> {
        let Some(check) = &settings.check else { return Ok(Vec::new()) };
        let of_channel = |(name, json): (&String, &Value)| {
            let wrong = || settings.owner.problem("check.json", "must have bodies for sms, call or whatsapp");
            let channel = Channel::parse(name).ok_or_else(wrong)?;
            let (method, url, body) = ("PUT".to_owned(), check.url.clone(), HttpBody::Json(json.clone()));
            let request = HttpGatewaySettings { method, url, body, ..settings.clone() };
            Ok((channel, Self::new(&request)?))
        };
        check.json.iter().map(of_channel).collect()
    }

    /// The request about the account, with the headers of a message. A header with a part of a message is left out.
    pub(super) fn of_account(settings: &HttpGatewaySettings) -> Result<Option<Request>> {
        let Some(account) = &settings.account else { return Ok(None) };
        let mut reader = TemplateReader { settings, used: Vec::new() };
        let url = reader.template(&account.url, "account.url")?;
        settings.address(&url)?;
        let url = url.without_message(|text, value| text.extend(utf8_percent_encode(value, ENCODED)));
        let wrong = || settings.owner.problem("account.url", "must be a URL without parts of a message");
        let url = url.and_then(|url| Url::parse(&url).ok()).ok_or_else(wrong)?;
        let mut request = Request::new(Method::GET, url);
        for (name, template) in reader.headers()? {
            if let Some(value) = template.without_message(String::push_str)
                && let Ok(mut value) = HeaderValue::from_str(&value)
            {
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
        }
        Ok(Some(request))
    }

    /// Scheme, host and port, and the path as far as it is the same for every message.
    pub(super) const fn address(&self) -> &Url {
        &self.address
    }

    /// The request for a message, which is reported at `callback`. `None` when that makes no URL or header. A field or a
    /// header of placeholders that are all empty is left out.
    pub(super) fn filled_in(
        &self,
        message: &OutgoingMessage,
        callback: &str,
        clock: &dyn Clock,
    ) -> Option<Request> {
        let channel = message.channel.as_str();
        let channel = self.words.get(channel).map_or(channel, String::as_str);
        let message = &Filling { message, callback, channel };
        let url = self.url.filled_in(message, |text, value| text.extend(utf8_percent_encode(value, ENCODED)));
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        let (content_type, body) = match &self.body {
            BodyTemplate::Empty => (None, None),
            BodyTemplate::Json(json) => {
                (Some("application/json"), Some(json.filled_in(message).unwrap_or_default().to_string()))
            }
            BodyTemplate::Form(fields) => {
                let mut form = Serializer::new(String::with_capacity(512));
                for (name, template) in fields {
                    if let Some(value) = template.unless_empty(message) {
                        form.append_pair(name, &value);
                    }
                }
                (Some("application/x-www-form-urlencoded"), Some(form.finish()))
            }
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, template) in &self.headers {
            let Some(value) = template.unless_empty(message) else { continue };
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let url = Url::parse(&url).ok()?;
        if let Some(signer) = &self.signer {
            let body = body.as_deref().unwrap_or_default();
            signer.sign(&self.method, &url, &mut headers, body, clock.wall())?;
        }
        let mut request = Request::new(self.method.clone(), url);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        Some(request)
    }
}

/// What is put into templates.
struct Filling<'a> {
    message: &'a OutgoingMessage,
    callback: &'a str,
    /// The provider's name of the channel.
    channel: &'a str,
}

impl JsonTemplate {
    /// `None` for a text of placeholders that are all empty.
    fn filled_in(&self, message: &Filling<'_>) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.unless_empty(message)?.to_string()),
            Self::Number(template) => template.unless_empty(message)?.parse::<u64>().ok()?.into(),
            Self::List(items) => items.iter().filter_map(|item| item.filled_in(message)).collect(),
            Self::Object(members) => {
                let filled = |(name, value): &(String, Self)| Some((name.clone(), value.filled_in(message)?));
                members.iter().filter_map(filled).collect()
            }
        })
    }
}

impl Template {
    /// The text with the values of a message. Each value goes through `put_in`, the written parts do not.
    fn filled_in(&self, filling: &Filling<'_>, put_in: impl Fn(&mut String, &str)) -> Zeroizing<String> {
        let mut filled = Zeroizing::new(String::with_capacity(256));
        for part in &self.0 {
            match part {
                TemplatePart::Written(text) => filled.push_str(text),
                TemplatePart::Secret(value) => put_in(&mut filled, value),
                TemplatePart::Message(value) => put_in(&mut filled, &Zeroizing::new(value(filling.message))),
                TemplatePart::Callback => put_in(&mut filled, filling.callback),
                TemplatePart::Channel => put_in(&mut filled, filling.channel),
            }
        }
        filled
    }

    /// The text with values as they are, for what is escaped later or never. `None` if there are placeholders and all of it
    /// is empty.
    fn unless_empty(&self, filling: &Filling<'_>) -> Option<Zeroizing<String>> {
        let filled = self.filled_in(filling, String::push_str);
        (self.0.is_empty() || !filled.is_empty()).then_some(filled)
    }

    /// The text; `None` if a message is part of it.
    pub(super) fn without_message(&self, put_in: impl Fn(&mut String, &str)) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::new());
        for part in &self.0 {
            match part {
                TemplatePart::Written(text) => filled.push_str(text),
                TemplatePart::Secret(value) => put_in(&mut filled, value),
                TemplatePart::Message(_) | TemplatePart::Callback | TemplatePart::Channel => return None,
            }
        }
        Some(filled)
    }

    fn written_and_secret(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            TemplatePart::Secret(value) => Some(value.as_str()),
            TemplatePart::Message(_) | TemplatePart::Callback | TemplatePart::Channel => None,
        })
    }
}

/// Reads the texts of a description, and collects the placeholders that they use.
pub(super) struct TemplateReader<'a> {
    pub(super) settings: &'a HttpGatewaySettings,
    pub(super) used: Vec<&'static str>,
}

impl TemplateReader<'_> {
    fn problem(&self, member: &str, words: impl Into<String>) -> GatewaySettingsError {
        self.settings.owner.problem(member, words)
    }

    /// `{{` and `}}` stand for braces themselves. `setting` says in errors where the text was written.
    pub(super) fn template(&mut self, text: &str, setting: &str) -> Result<Template> {
        let mut parts: Vec<TemplatePart> = Vec::new();
        let mut written = String::new();
        for piece in pieces(text) {
            match piece.kind {
                PieceKind::Text => written.push_str(piece.raw),
                PieceKind::Double(name) => written.extend(["{", name, "}"]),
                PieceKind::DoubleBrace(brace) => written.push(brace),
                PieceKind::Single(name) => {
                    parts.push(TemplatePart::Written(std::mem::take(&mut written)));
                    parts.push(self.part_named(name, setting)?);
                }
                PieceKind::Stray(_) => {
                    let words = "has a brace without its partner; write {{ or }} for a brace itself";
                    return Err(self.problem(setting, words));
                }
            }
        }
        parts.push(TemplatePart::Written(written));
        parts.retain(|part| !matches!(part, TemplatePart::Written(text) if text.is_empty()));
        Ok(Template(parts))
    }

    fn part_named(&mut self, name: &str, setting: &str) -> Result<TemplatePart> {
        if let Some((name, value)) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name) {
            self.used.push(name);
            return Ok(match name {
                "callback" => TemplatePart::Callback,
                "channel" => TemplatePart::Channel,
                _ => TemplatePart::Message(value),
            });
        }
        if let Some(secret) = self.secret(name, setting) {
            return secret.map(|value| match name {
                "url" => TemplatePart::Written(value.trim_end_matches('/').to_owned()),
                _ => TemplatePart::Secret(value),
            });
        }
        let names = PLACEHOLDERS.iter().map(|(name, _)| *name);
        let names = names.chain(self.settings.owner.credentials.iter().map(String::as_str)).chain(["basic"]);
        let names: Vec<String> = names.map(|name| format!("{{{name}}}")).collect();
        let names = names.join(", ");
        // A name that is not one of ours could be anything, even a secret in braces: only what looks
        // like a name is repeated.
        let is_name =
            (1..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        Err(self.problem(
            setting,
            if is_name {
                format!("has an unknown placeholder {{{name}}}; there are {names}")
            } else {
                format!("has braces around what is no placeholder; there are {names}")
            },
        ))
    }

    /// The value of a credential, or of `{basic}`; `None` for another name. A value that is not configured is an error,
    /// which names the variable to set.
    fn secret(&self, name: &str, setting: &str) -> Option<Result<Zeroizing<String>>> {
        let HttpGatewaySettings { owner, values, basic, .. } = self.settings;
        let basic = basic.as_ref().map(|[user, password]| [user.as_str(), password]);
        let [user, password] = basic.unwrap_or(["username", "password"]);
        let needed = |credential: &str| {
            let given = values.get(credential).map(ExposeSecret::expose_secret);
            let given = given.filter(|value| !value.is_empty() || owner.is_optional(credential));
            given.map(|value| Zeroizing::new(value.to_owned())).ok_or_else(|| {
                let variable = owner.variable(credential);
                self.problem(setting, format!("uses {{{name}}}, which has no value: set {variable}"))
            })
        };
        if owner.credentials.iter().any(|known| known == name) {
            return Some(needed(name));
        }
        (name == "basic").then(|| {
            let user_name = needed(user)?;
            if user_name.contains(':') {
                let variable = owner.variable(user);
                let words = format!("uses {{basic}}, for which {variable} must not contain a colon");
                return Err(self.problem(setting, words));
            }
            Ok(basic_credentials(&user_name, &needed(password)?))
        })
    }

    fn form(&mut self, fields: &[(String, String)]) -> Result<Vec<(String, Template)>> {
        let read = |(name, value): &(String, String)| {
            Ok((name.clone(), self.template(value, &format!("form.{name}"))?))
        };
        fields.iter().map(read).collect()
    }

    fn json(&mut self, value: &Value) -> Result<JsonTemplate> {
        Ok(match value {
            Value::String(text) => match text.strip_suffix(":number}") {
                Some(number) => JsonTemplate::Number(self.template(&format!("{number}}}"), "json")?),
                None => JsonTemplate::Text(self.template(text, "json")?),
            },
            Value::Array(items) => {
                JsonTemplate::List(items.iter().map(|item| self.json(item)).collect::<Result<_>>()?)
            }
            Value::Object(members) => {
                let read = |(name, value): (&String, &Value)| Ok((name.clone(), self.json(value)?));
                JsonTemplate::Object(members.iter().map(read).collect::<Result<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => JsonTemplate::Fixed(value.clone()),
        })
    }

    fn headers(&mut self) -> Result<Vec<(HeaderName, Template)>> {
        let mut headers: Vec<(HeaderName, Template)> = Vec::new();
        for (written, value) in &self.settings.headers {
            let setting = format!("headers.{written}");
            let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| {
                self.problem(&setting, "has a name that cannot be a header's (RFC 9110, 5.1)")
            })?;
            if NOT_OURS.contains(&name) {
                return Err(self.problem(&setting, "is written by the HTTP client itself: leave it out"));
            }
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(self.problem(&setting, "is given twice"));
            }
            let used_before = self.used.len();
            let template = self.template(value, &setting)?;
            if self.used[used_before..].contains(&"text") {
                let words = "uses {text}, which a header cannot carry: put it into the URL or the body";
                return Err(self.problem(&setting, words));
            }
            // Every other placeholder is visible ASCII whatever the message.
            let fits = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if !template.written_and_secret().all(fits) {
                let words = "must be visible ASCII characters and spaces, secrets included";
                return Err(self.problem(&setting, words));
            }
            headers.push((name, template));
        }
        Ok(headers)
    }
}

fn method(text: &str) -> Option<Method> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Some(Method::GET),
        "POST" => Some(Method::POST),
        "PUT" => Some(Method::PUT),
        _ => None,
    }
}

impl HttpGatewaySettings {
    /// The scheme, host and port of the URL. They must be written out, or be the setting `url`: no part of a message may
    /// decide which server gets the code.
    fn address(&self, url: &Template) -> Result<Url> {
        let problem = |words: &str| self.owner.problem("url", words);
        let beginning = url.0.iter().map_while(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            _ => None,
        });
        let beginning: String = beginning.collect();
        let is_written_out = url.0.iter().all(|part| matches!(part, TemplatePart::Written(_)));
        let behind_scheme = beginning.find("://").map_or(0, |place| place + "://".len());
        let authority_ends = beginning[behind_scheme..].find(['/', '?', '#']);
        if !is_written_out && authority_ends.is_none() {
            return Err(problem(
                "must have scheme and host written out, and a / or ? before the first placeholder",
            ));
        }
        if url.written_and_secret().any(|part| part.contains('#')) {
            return Err(problem("must not contain a # part, which is never sent"));
        }
        provider_url(self.owner.gateway, &self.owner.setting("url"), &beginning)
    }
}
