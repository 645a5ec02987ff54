//! A request, described once and filled in for each message.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use reqwest::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::{NAME, URL_SETTING, problem};
use crate::gateway::settings::{basic_credentials, provider_url};
use crate::gateway::{GatewaySettingsError, HttpBody, HttpGatewaySettings, OutgoingMessage};
use crate::template::placeholder::{PieceKind, pieces};

type Result<T> = std::result::Result<T, GatewaySettingsError>;

/// All characters except the unreserved ones of RFC 3986 (2.3): an inserted value can end neither a segment of a path
/// nor a value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers that the HTTP library writes itself.
const NOT_OURS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

const NAMES: &str = "{to}, {to_digits}, {text}, {code}, {channel}, {validity_seconds}, {username}, \
                     {password}, {token}, {basic}";

/// The description. Has no `Debug`: secrets are filled in already.
pub(super) struct RequestTemplate {
    method: Method,
    address: Url,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    body: BodyTemplate,
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
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

struct Template(Vec<TemplatePart>);

enum TemplatePart {
    Written(String),
    Secret(Zeroizing<String>),
    Message(FromMessage),
}

type FromMessage = fn(&OutgoingMessage) -> String;

const PLACEHOLDERS: [(&str, FromMessage); 6] = [
    ("to", |message| message.to.e164()),
    ("to_digits", |message| message.to.as_u64().to_string()),
    ("text", |message| message.text.clone()),
    ("code", |message| message.code.expose().to_owned()),
    ("channel", |message| message.channel.as_str().to_owned()),
    // A provider may read 0 as "no limit".
    ("validity_seconds", |message| message.valid_for.as_secs().max(1).to_string()),
];

impl RequestTemplate {
    pub(super) fn new(settings: &HttpGatewaySettings) -> Result<Self> {
        let mut reader = TemplateReader { settings, used: Vec::new() };
        let method = method(&settings.method)?;
        let url = reader.template(&settings.url, URL_SETTING)?;
        let address = address(&url)?;
        let headers = reader.headers()?;
        let body = match &settings.body {
            HttpBody::Empty => BodyTemplate::Empty,
            HttpBody::Json(value) => BodyTemplate::Json(reader.json(value)?),
            HttpBody::Form(fields) => BodyTemplate::Form(reader.form(fields)?),
        };
        if method == Method::GET && !matches!(body, BodyTemplate::Empty) {
            return Err(problem(
                "http-gateway.method",
                "is GET, which has no body: use POST or PUT, or leave json and form out",
            ));
        }
        // A request that forgets the number or the code would be accepted, and paid for, to no end.
        if !["to", "to_digits"].iter().any(|wanted| reader.used.contains(wanted)) {
            let words = "has neither {to} nor {to_digits}: the message would have no recipient";
            return Err(problem("http-gateway", words));
        }
        if !["text", "code"].iter().any(|wanted| reader.used.contains(wanted)) {
            let words = "has neither {text} nor {code}: the message would carry no code";
            return Err(problem("http-gateway", words));
        }
        Ok(Self { method, address, url, headers, body })
    }

    /// Scheme, host and port, and the path as far as it is the same for every message.
    pub(super) const fn address(&self) -> &Url {
        &self.address
    }

    /// The request for a message. `None` when that makes no URL or header.
    pub(super) fn filled_in(&self, message: &OutgoingMessage) -> Option<Request> {
        let url = self.url.filled_in(message, |text, value| text.extend(utf8_percent_encode(value, ENCODED)));
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        let (content_type, body) = match &self.body {
            BodyTemplate::Empty => (None, None),
            BodyTemplate::Json(json) => (Some("application/json"), Some(json.filled_in(message).to_string())),
            BodyTemplate::Form(fields) => {
                let mut form = Serializer::new(String::with_capacity(512));
                for (name, template) in fields {
                    form.append_pair(name, &template.as_it_is(message));
                }
                (Some("application/x-www-form-urlencoded"), Some(form.finish()))
            }
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, template) in &self.headers {
            let mut value = HeaderValue::from_str(&template.as_it_is(message)).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut request = Request::new(self.method.clone(), Url::parse(&url).ok()?);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        Some(request)
    }
}

impl JsonTemplate {
    fn filled_in(&self, message: &OutgoingMessage) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.as_it_is(message).to_string()),
            Self::List(items) => items.iter().map(|item| item.filled_in(message)).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value.filled_in(message))).collect()
            }
        }
    }
}

impl Template {
    /// The text with the values of a message. Each value goes through `put_in`, the written parts do not.
    fn filled_in(&self, message: &OutgoingMessage, put_in: impl Fn(&mut String, &str)) -> Zeroizing<String> {
        let mut filled = Zeroizing::new(String::with_capacity(256));
        for part in &self.0 {
            match part {
                TemplatePart::Written(text) => filled.push_str(text),
                TemplatePart::Secret(value) => put_in(&mut filled, value),
                TemplatePart::Message(value) => put_in(&mut filled, &Zeroizing::new(value(message))),
            }
        }
        filled
    }

    /// The text with values as they are, for what is escaped later or never.
    fn as_it_is(&self, message: &OutgoingMessage) -> Zeroizing<String> {
        self.filled_in(message, String::push_str)
    }

    fn written_and_secret(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            TemplatePart::Secret(value) => Some(value.as_str()),
            TemplatePart::Message(_) => None,
        })
    }
}

/// Reads the texts of a description, and collects the placeholders that they use.
struct TemplateReader<'a> {
    settings: &'a HttpGatewaySettings,
    used: Vec<&'static str>,
}

impl TemplateReader<'_> {
    /// `{{` and `}}` stand for braces themselves. `setting` says in errors where the text was written.
    fn template(&mut self, text: &str, setting: &str) -> Result<Template> {
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
                    return Err(problem(setting, words));
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
            return Ok(TemplatePart::Message(value));
        }
        if let Some(secret) = self.secret(name, setting) {
            return secret.map(TemplatePart::Secret);
        }
        // A name that is not one of ours could be anything, even a secret in braces: only what looks
        // like a name is repeated.
        let is_name =
            (1..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        Err(problem(
            setting,
            if is_name {
                format!("has an unknown placeholder {{{name}}}; there are {NAMES}")
            } else {
                format!("has braces around what is no placeholder; there are {NAMES}")
            },
        ))
    }

    /// The value of `{username}`, `{password}`, `{token}` or `{basic}`; `None` for another name. A value that is not
    /// configured is an error, which names the variable to set.
    fn secret(&self, name: &str, setting: &str) -> Option<Result<Zeroizing<String>>> {
        let needed = |value: &Option<SecretString>, variable: &str| {
            let given = value.as_ref().map(ExposeSecret::expose_secret).filter(|v| !v.is_empty());
            given.map(|v| Zeroizing::new(v.to_owned())).ok_or_else(|| {
                problem(setting, format!("uses {{{name}}}, which has no value: set {variable}"))
            })
        };
        let username = || needed(&self.settings.username, "HTTP_GATEWAY_USERNAME");
        let password = || needed(&self.settings.password, "HTTP_GATEWAY_PASSWORD");
        match name {
            "username" => Some(username()),
            "password" => Some(password()),
            "token" => Some(needed(&self.settings.token, "HTTP_GATEWAY_TOKEN")),
            "basic" => Some(username().and_then(|user| {
                if user.contains(':') {
                    let words = "uses {basic}, for which HTTP_GATEWAY_USERNAME must not contain a colon";
                    return Err(problem(setting, words));
                }
                Ok(basic_credentials(&user, &password()?))
            })),
            _ => None,
        }
    }

    fn form(&mut self, fields: &[(String, String)]) -> Result<Vec<(String, Template)>> {
        let read = |(name, value): &(String, String)| {
            Ok((name.clone(), self.template(value, &format!("http-gateway.form.{name}"))?))
        };
        fields.iter().map(read).collect()
    }

    fn json(&mut self, value: &Value) -> Result<JsonTemplate> {
        Ok(match value {
            Value::String(text) => JsonTemplate::Text(self.template(text, "http-gateway.json")?),
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
            let setting = format!("http-gateway.headers.{written}");
            let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| {
                problem(setting.as_str(), "has a name that cannot be a header's (RFC 9110, 5.1)")
            })?;
            if NOT_OURS.contains(&name) {
                return Err(problem(setting, "is written by the HTTP client itself: leave it out"));
            }
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(problem(setting, "is given twice"));
            }
            let used_before = self.used.len();
            let template = self.template(value, &setting)?;
            if self.used[used_before..].contains(&"text") {
                return Err(problem(
                    setting,
                    "uses {text}, which a header cannot carry: put it into the URL or the body",
                ));
            }
            // Every other placeholder is visible ASCII whatever the message.
            let fits = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if !template.written_and_secret().all(fits) {
                return Err(problem(
                    setting,
                    "must be visible ASCII characters and spaces, secrets included",
                ));
            }
            headers.push((name, template));
        }
        Ok(headers)
    }
}

fn method(text: &str) -> Result<Method> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        _ => Err(problem("http-gateway.method", "must be GET, POST or PUT")),
    }
}

/// The scheme, host and port of the URL. They must be written out: no part of a message may decide which server gets
/// the code.
fn address(url: &Template) -> Result<Url> {
    let beginning = match url.0.first() {
        Some(TemplatePart::Written(text)) => text,
        _ => "",
    };
    let is_written_out = url.0.iter().all(|part| matches!(part, TemplatePart::Written(_)));
    let behind_scheme = beginning.find("://").map_or(0, |place| place + "://".len());
    let authority_ends = beginning[behind_scheme..].find(['/', '?', '#']);
    if !is_written_out && authority_ends.is_none() {
        return Err(problem(
            URL_SETTING,
            "must have scheme and host written out, and a / or ? before the first placeholder",
        ));
    }
    if url.written_and_secret().any(|part| part.contains('#')) {
        return Err(problem(URL_SETTING, "must not contain a # part, which is never sent"));
    }
    provider_url(NAME, URL_SETTING, beginning)
}
