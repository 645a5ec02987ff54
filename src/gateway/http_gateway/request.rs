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
use super::{HttpReceipts, is_json_pointer};
use crate::clock::Clock;
use crate::domain::Channel;
use crate::gateway::settings::{basic_credentials, provider_url};
use crate::gateway::{GatewaySettingsError, HttpGatewaySettings, OutgoingMessage};
use crate::template::placeholder::{PieceKind, pieces};

/// All characters except the unreserved ones of RFC 3986 (2.3): an inserted value can end neither a segment of a path
/// nor a value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Fields = Vec<(String, String)>;

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

#[derive(Clone)]
pub(super) struct Template(Vec<TemplatePart>);

#[derive(Clone)]
enum TemplatePart {
    Written(String),
    Secret(Zeroizing<String>),
    Message(FromMessage),
    Callback,
    Channel,
}

type FromMessage = fn(&OutgoingMessage) -> String;

const PLACEHOLDERS: [(&str, FromMessage); 10] = [
    ("to", |message| message.recipient().e164()),
    ("to_digits", |message| message.recipient().as_u64().to_string()),
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

/// All requests of a description.
pub(super) struct Requests {
    pub(super) message: RequestTemplate,
    /// Those that ask about a code, by channel.
    pub(super) checks: Vec<(Channel, RequestTemplate)>,
    /// The one about the account, with the headers of a message. A header with a part of a message is left out.
    pub(super) account: Option<Request>,
}

impl RequestTemplate {
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
        let url = self.url.url(Some(message))?;
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
    /// The text with the values of a message. Each value goes through `put_in`, the written parts do not. `None` if there is no
    /// message, and one is part of it.
    fn filled_in(
        &self,
        filling: Option<&Filling<'_>>,
        put_in: impl Fn(&mut String, &str),
    ) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::with_capacity(256));
        for part in &self.0 {
            match part {
                TemplatePart::Written(text) => filled.push_str(text),
                TemplatePart::Secret(value) => put_in(&mut filled, value),
                TemplatePart::Message(value) => put_in(&mut filled, &Zeroizing::new(value(filling?.message))),
                TemplatePart::Callback => put_in(&mut filled, filling?.callback),
                TemplatePart::Channel => put_in(&mut filled, filling?.channel),
            }
        }
        Some(filled)
    }

    /// The text with values as they are, for what is escaped later or never. `None` if there are placeholders and all of it
    /// is empty.
    fn unless_empty(&self, filling: &Filling<'_>) -> Option<Zeroizing<String>> {
        self.filled_in(Some(filling), String::push_str)
            .filter(|filled| self.0.is_empty() || !filled.is_empty())
    }

    /// The text; `None` if a message is part of it.
    pub(super) fn without_message(&self) -> Option<Zeroizing<String>> {
        self.filled_in(None, String::push_str)
    }

    /// The URL.
    fn url(&self, filling: Option<&Filling<'_>>) -> Option<Url> {
        let url = self.filled_in(filling, |text, value| text.extend(utf8_percent_encode(value, ENCODED)))?;
        Url::parse(&url).ok()
    }

    /// The URL; `None` if a message is part of it.
    pub(super) fn fixed(&self) -> Option<Url> {
        self.url(None)
    }

    fn written_and_secret(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            TemplatePart::Secret(value) => Some(value.as_str()),
            TemplatePart::Message(_) | TemplatePart::Callback | TemplatePart::Channel => None,
        })
    }
}

/// Reads a description. Collects the placeholders that it uses, and everything that is wrong with it.
pub(super) struct TemplateReader<'a> {
    pub(super) settings: &'a HttpGatewaySettings,
    pub(super) used: Vec<&'a str>,
    pub(super) problems: Vec<GatewaySettingsError>,
    /// Whether a text has a mistake: a placeholder that seems to be missing may be there.
    pub(super) is_unclear: bool,
}

impl<'a> TemplateReader<'a> {
    pub(super) const fn of(settings: &'a HttpGatewaySettings) -> Self {
        Self { settings, used: Vec::new(), problems: Vec::new(), is_unclear: false }
    }

    /// The requests; `None` if something is wrong.
    pub(super) fn read(&mut self) -> Option<Requests> {
        let settings = self.settings;
        self.check_names();
        if settings.channels.is_empty() {
            self.wrong("channels", format!("must name a channel: {}", Channel::names(", ")));
        }
        let headers = self.headers();
        // Requests have the headers in common.
        let (mut used, of_headers) = (Vec::new(), self.used.clone());
        let message = self.request(
            "",
            (&settings.method, &settings.url),
            (settings.json.as_ref(), settings.form.as_ref()),
            &headers,
        );
        if let Some(receipts) = &settings.receipts {
            receipts.check(self);
        }
        used.append(&mut self.used);
        let mut checks = Vec::new();
        for (check, (name, json)) in
            settings.check.iter().flat_map(|check| check.json.iter().map(move |of| (check, of)))
        {
            self.used.clone_from(&of_headers);
            let request = self.request("check.", ("PUT", &check.url), (Some(json), None), &headers);
            match Channel::parse(name) {
                Some(channel) => checks.extend(request.map(|request| (channel, request))),
                None => {
                    self.wrong(
                        "check.json",
                        format!("must have bodies for channels: {}", Channel::names(", ")),
                    );
                }
            }
        }
        let account = settings.account.as_ref().and_then(|account| self.account(&account.url, &headers));
        self.used.append(&mut used);
        self.check_pointers();
        self.problems.is_empty().then_some(Requests { message: message?, checks, account })
    }

    /// Notes a problem, once.
    pub(super) fn wrong(&mut self, member: &str, problem: impl Into<String>) {
        let problem = self.settings.owner.problem(member, problem);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A setting of a recipe is a placeholder, and a member of its gateway.
    fn check_names(&mut self) {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let is_taken = |name: &str| {
            ["", "basic", "recipe", "channels"].contains(&name)
                || PLACEHOLDERS.iter().any(|(known, _)| *known == name)
        };
        for name in &self.settings.owner.credentials {
            if is_taken(name) || !name.bytes().all(is_plain) {
                let words = "must have another name, of lower-case letters, digits and underscores, which means nothing else in \
                             recipes";
                self.wrong(&format!("recipe.settings.{name}"), words);
            }
        }
    }

    /// The request of a method, a URL and a body. What `of` names is not a message, but asks about a code.
    fn request(
        &mut self,
        of: &str,
        (method, url): (&str, &str),
        (json, form): (Option<&Value>, Option<&Fields>),
        headers: &[(HeaderName, Template)],
    ) -> Option<RequestTemplate> {
        let of_url = format!("{of}url");
        let method = match method.to_ascii_uppercase().as_str() {
            "GET" => Some(Method::GET),
            "POST" => Some(Method::POST),
            "PUT" => Some(Method::PUT),
            _ => None,
        };
        if method.is_none() {
            self.wrong("method", "must be GET, POST or PUT");
        }
        let url = self.template(url, &of_url);
        let address = self.address(&url, &of_url);
        let body = match (json, form) {
            (None, None) => BodyTemplate::Empty,
            (Some(value), None) => BodyTemplate::Json(self.json(value)),
            (None, Some(fields)) => BodyTemplate::Form(self.form(fields)),
            (Some(_), Some(_)) => {
                self.is_unclear = true;
                self.wrong("form", "is given beside json, and a message has one body: remove one of them");
                BodyTemplate::Empty
            }
        };
        if method == Some(Method::GET) && !matches!(body, BodyTemplate::Empty) {
            self.wrong("method", "is GET, which has no body: use POST or PUT, or leave json and form out");
        }
        let signer = self.settings.sign.as_ref().and_then(|sign| Signer::new(sign, &url, self));
        // A request that forgets the number or the code would be accepted, and paid for, to no end.
        let has = |wanted: [&str; 2]| wanted.iter().any(|wanted| self.used.contains(wanted));
        if self.is_unclear {
            return None;
        } else if !has(["to", "to_digits"]) {
            self.wrong(
                of.trim_end_matches('.'),
                "has neither {to} nor {to_digits}: the message would have no recipient",
            );
        } else if !has(["text", "code"]) && (self.settings.check.is_none() || !of.is_empty()) {
            self.wrong(
                of.trim_end_matches('.'),
                "has neither {text} nor {code}: the message would carry no code",
            );
        }
        let (headers, words) = (headers.to_vec(), self.settings.channel_words.clone());
        Some(RequestTemplate { method: method?, address: address?, url, headers, body, signer, words })
    }

    fn account(&mut self, url: &str, headers: &[(HeaderName, Template)]) -> Option<Request> {
        let url = self.template(url, "account.url");
        self.address(&url, "account.url")?;
        let Some(url) = url.fixed() else {
            self.wrong("account.url", "must be a URL without parts of a message");
            return None;
        };
        let mut request = Request::new(Method::GET, url);
        for (name, template) in headers {
            if let Some(value) = template.without_message()
                && let Ok(mut value) = HeaderValue::from_str(&value)
            {
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
        }
        Some(request)
    }

    /// `{{` and `}}` stand for braces themselves. `setting` says in errors where the text was written.
    pub(super) fn template(&mut self, text: &str, setting: &str) -> Template {
        let mut parts: Vec<TemplatePart> = Vec::new();
        let mut written = String::new();
        for piece in pieces(text) {
            match piece.kind {
                PieceKind::Text => written.push_str(piece.raw),
                PieceKind::Double(name) => written.extend(["{", name, "}"]),
                PieceKind::DoubleBrace(brace) => written.push(brace),
                PieceKind::Single(name) => {
                    parts.push(TemplatePart::Written(std::mem::take(&mut written)));
                    let part = self.part_named(name, setting);
                    self.is_unclear |= part.is_none();
                    parts.extend(part);
                }
                PieceKind::Stray(_) => {
                    self.is_unclear = true;
                    self.wrong(setting, "has a brace without its partner; write {{ or }} for a brace itself");
                }
            }
        }
        parts.push(TemplatePart::Written(written));
        parts.retain(|part| !matches!(part, TemplatePart::Written(text) if text.is_empty()));
        Template(parts)
    }

    fn part_named(&mut self, name: &str, setting: &str) -> Option<TemplatePart> {
        let HttpGatewaySettings { owner, basic, .. } = self.settings;
        if let Some((name, value)) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name) {
            self.used.push(name);
            return Some(match name {
                "callback" => TemplatePart::Callback,
                "channel" => TemplatePart::Channel,
                _ => TemplatePart::Message(value),
            });
        }
        if owner.credentials.iter().any(|known| known == name) {
            let value = self.credential(name, name, setting)?;
            return Some(match name {
                "url" => TemplatePart::Written(value.trim_end_matches('/').to_owned()),
                _ => TemplatePart::Secret(value),
            });
        }
        if name == "basic" {
            let basic = basic.as_ref().map(|[user, password]| [user.as_str(), password]);
            let [user, password] = basic
                .unwrap_or(["username", "password"])
                .map(|part| (part, self.credential(part, name, setting)));
            let ((user, Some(user_name)), (_, Some(password))) = (user, password) else { return None };
            if user_name.contains(':') {
                let variable = owner.variable(user);
                self.wrong(setting, format!("uses {{basic}}, for which {variable} must not contain a colon"));
            }
            return Some(TemplatePart::Secret(basic_credentials(&user_name, &password)));
        }
        let names = PLACEHOLDERS.iter().map(|(name, _)| *name);
        let names = names.chain(owner.credentials.iter().map(String::as_str)).chain(["basic"]);
        let names = names.map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
        // A name that is not one of ours could be anything, even a secret in braces: only what looks
        // like a name is repeated.
        let is_name =
            (1..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let what = if is_name {
            format!("an unknown placeholder {{{name}}}")
        } else {
            "braces around what is no placeholder".to_owned()
        };
        self.wrong(setting, format!("has {what}; there are {names}"));
        None
    }

    /// The value of a credential, for a placeholder. A value that is not configured is an error, which names the variable to
    /// set.
    fn credential(&mut self, name: &str, placeholder: &str, setting: &str) -> Option<Zeroizing<String>> {
        let HttpGatewaySettings { owner, values, .. } = self.settings;
        self.used.extend(owner.credentials.iter().map(String::as_str).filter(|known| *known == name));
        let given = values.get(name).map(ExposeSecret::expose_secret);
        let given = given.filter(|value| !value.is_empty() || owner.is_optional(name));
        if given.is_none() {
            let variable = owner.variable(name);
            self.wrong(setting, format!("uses {{{placeholder}}}, which has no value: set {variable}"));
        }
        given.map(|value| Zeroizing::new(value.to_owned()))
    }

    /// The credential that a key such as `{token}` is.
    pub(super) fn key(&mut self, text: &str, setting: &str) -> Option<Zeroizing<String>> {
        let key = self.credential_of(text, setting)?;
        if key.is_empty() {
            let name = text.trim_matches(['{', '}']);
            self.wrong(setting, format!("must not be empty: set {}", self.settings.owner.variable(name)));
        }
        Some(key)
    }

    /// A credential as a placeholder, which may be empty.
    pub(super) fn credential_of(&mut self, text: &str, setting: &str) -> Option<Zeroizing<String>> {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(name) =
            name.filter(|name| self.settings.owner.credentials.iter().any(|known| known == name))
        else {
            self.wrong(setting, "must be one credential, such as {token}");
            return None;
        };
        self.credential(name, name, setting)
    }

    /// The name of a header that may be written.
    pub(super) fn header(&mut self, written: &str, setting: &str) -> Option<HeaderName> {
        let name = HeaderName::from_bytes(written.as_bytes()).ok();
        match &name {
            None => self.wrong(setting, "has a name that cannot be a header's (RFC 9110, 5.1)"),
            Some(name) if NOT_OURS.contains(name) => {
                self.wrong(setting, "is written by the HTTP client itself: leave it out");
            }
            Some(_) => {}
        }
        name
    }

    fn form(&mut self, fields: &[(String, String)]) -> Vec<(String, Template)> {
        let read =
            |(name, value): &(String, String)| (name.clone(), self.template(value, &format!("form.{name}")));
        fields.iter().map(read).collect()
    }

    fn json(&mut self, value: &Value) -> JsonTemplate {
        match value {
            Value::String(text) => match text.strip_suffix(":number}") {
                Some(number) => JsonTemplate::Number(self.template(&format!("{number}}}"), "json")),
                None => JsonTemplate::Text(self.template(text, "json")),
            },
            Value::Array(items) => JsonTemplate::List(items.iter().map(|item| self.json(item)).collect()),
            Value::Object(members) => {
                let read = |(name, value): (&String, &Value)| (name.clone(), self.json(value));
                JsonTemplate::Object(members.iter().map(read).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => JsonTemplate::Fixed(value.clone()),
        }
    }

    fn headers(&mut self) -> Vec<(HeaderName, Template)> {
        let mut headers: Vec<(HeaderName, Template)> = Vec::new();
        for (written, value) in &self.settings.headers {
            let setting = format!("headers.{written}");
            let Some(name) = self.header(written, &setting) else { continue };
            if headers.iter().any(|(other, _)| *other == name) {
                self.wrong(&setting, "is given twice");
            }
            let used_before = self.used.len();
            let template = self.template(value, &setting);
            if self.used[used_before..].contains(&"text") {
                let words = "uses {text}, which a header cannot carry: put it into the URL or the body";
                self.wrong(&setting, words);
            }
            // Every other placeholder is visible ASCII whatever the message.
            let fits = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if !template.written_and_secret().all(fits) {
                self.wrong(&setting, "must be visible ASCII characters and spaces, secrets included");
            }
            headers.push((name, template));
        }
        headers
    }

    /// The scheme, host and port of a URL. They must be written out, or be the setting `url`: no part of a message may
    /// decide which server gets the code.
    fn address(&mut self, url: &Template, setting: &str) -> Option<Url> {
        let beginning = url.0.iter().map_while(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            _ => None,
        });
        let beginning: String = beginning.collect();
        let is_written_out = url.0.iter().all(|part| matches!(part, TemplatePart::Written(_)));
        let behind_scheme = beginning.find("://").map_or(0, |place| place + "://".len());
        let authority_ends = beginning[behind_scheme..].find(['/', '?', '#']);
        if url.0.is_empty() {
            self.wrong(
                setting,
                "is missing: say where messages go, such as \"https://sms.example.com/send\"",
            );
        } else if !is_written_out && authority_ends.is_none() {
            self.wrong(
                setting,
                "must have scheme and host written out, and a / or ? before the first placeholder",
            );
        } else if url.written_and_secret().any(|part| part.contains('#')) {
            self.wrong(setting, "must not contain a # part, which is never sent");
        } else {
            let owner = &self.settings.owner;
            match provider_url(owner.gateway, &owner.setting(setting), &beginning) {
                Ok(address) => return Some(address),
                Err(error) if self.problems.contains(&error) => {}
                Err(error) => self.problems.push(error),
            }
        }
        self.is_unclear = true;
        None
    }

    fn check_pointers(&mut self) {
        let HttpGatewaySettings { success, errors, check, account, receipts, .. } = self.settings;
        let mut pointers = Vec::new();
        pointers.extend(success.json.iter().map(|pointer| ("success.json", pointer)));
        pointers.extend(success.message_id.iter().map(|pointer| ("success.message_id", pointer)));
        pointers.extend(errors.json.iter().map(|pointer| ("errors.json", pointer)));
        let verdicts = check.iter().flat_map(|check| &check.verdict);
        pointers.extend(verdicts.map(|pointer| ("check.verdict", pointer)));
        let shown = account.iter().filter_map(|account| account.show.as_ref());
        pointers.extend(shown.map(|pointer| ("account.show", pointer)));
        if let Some(HttpReceipts { items, attempt, message_id, state, code, .. }) = receipts {
            let all = [items, attempt].into_iter().flatten().chain([message_id, state]).chain(code);
            pointers.extend(all.map(|pointer| ("receipts", pointer)));
        }
        for (member, _) in pointers.into_iter().filter(|(_, pointer)| !is_json_pointer(pointer)) {
            self.wrong(member, "must be a JSON pointer (RFC 6901) such as /messages/0/status");
        }
        success.check(self);
    }
}
