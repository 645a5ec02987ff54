//! A request, described once and filled in for each message.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;
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
use crate::settings::{basic_credentials, provider_url};
use crate::template::placeholder::{PieceKind, pieces};
use crate::{GatewaySettingsError, HttpGatewaySettings, OutgoingMessage};

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
    Xml(Template),
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
    Filled(FromFilling),
}

type FromFilling = fn(&Filling<'_>) -> String;

const PLACEHOLDERS: [(&str, FromFilling); 10] = [
    ("to", |from| from.message.recipient().e164()),
    ("to_digits", |from| from.message.recipient().as_u64().to_string()),
    ("text", |from| from.message.text.clone()),
    ("code", |from| from.message.code.expose().to_owned()),
    ("channel", |from| from.channel.to_owned()),
    // A provider may read 0 as "no limit".
    ("validity_seconds", |from| from.message.valid_for.as_secs().max(1).to_string()),
    ("validity_minutes", |from| from.message.valid_for.as_secs().div_ceil(60).max(1).to_string()),
    ("locale", |from| from.message.locale.map(|locale| locale.to_string()).unwrap_or_default()),
    ("attempt", |from| from.message.attempt.to_string()),
    ("callback", |from| from.callback.to_owned()),
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
            BodyTemplate::Xml(template) => {
                let filled =
                    template.filled_in(Some(message), |xml, value| xml.push_str(&escape(xml_text(value))));
                (Some("text/xml"), filled.map(|filled| filled.to_string()))
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

/// A value without the characters that XML 1.0 (2.2) has no place for: most control characters.
fn xml_text(value: &str) -> String {
    let can_be_written = |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    value.chars().map(|c| if can_be_written(c) { c } else { ' ' }).collect()
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
                TemplatePart::Filled(value) => put_in(&mut filled, &Zeroizing::new(value(filling?))),
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

    /// The URL; `None` if a message is part of it, and there is none.
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
            TemplatePart::Filled(_) => None,
        })
    }
}

/// Something of a description, or the first problem with it.
pub(super) type Read<T> = Result<T, GatewaySettingsError>;

/// Reads a description, and notes the placeholders that it uses.
pub(super) struct TemplateReader<'a> {
    pub(super) settings: &'a HttpGatewaySettings,
    pub(super) used: Vec<&'a str>,
}

impl<'a> TemplateReader<'a> {
    pub(super) const fn of(settings: &'a HttpGatewaySettings) -> Self {
        Self { settings, used: Vec::new() }
    }

    pub(super) fn read(&mut self) -> Read<Requests> {
        let settings = self.settings;
        self.check_names()?;
        if settings.channels.is_empty() {
            return self.wrong("channels", format!("must name a channel: {}", Channel::names(", ")));
        }
        let headers = self.headers()?;
        // Requests have the headers in common.
        let of_headers = self.used.clone();
        let body = self.body()?;
        let message = self.request("", (&settings.method, &settings.url), body, &headers)?;
        if let Some(receipts) = &settings.receipts {
            receipts.check(self)?;
        }
        let mut used = std::mem::take(&mut self.used);
        let mut checks = Vec::new();
        for (check, (name, json)) in
            settings.check.iter().flat_map(|check| check.json.iter().map(move |of| (check, of)))
        {
            let Some(channel) = Channel::parse(name) else {
                let words = format!("must have bodies for channels: {}", Channel::names(", "));
                return self.wrong("check.json", words);
            };
            self.used.clone_from(&of_headers);
            let body = BodyTemplate::Json(self.json(json)?);
            let request = self.request("check.", ("PUT", &check.url), body, &headers)?;
            checks.push((channel, request));
        }
        let account = settings.account.as_ref();
        let account = account.map(|account| self.account(&account.url, &headers)).transpose()?;
        self.used.append(&mut used);
        self.check_pointers()?;
        settings.success.check(self)?;
        Ok(Requests { message, checks, account })
    }

    pub(super) fn wrong<T>(&self, member: &str, problem: impl Into<String>) -> Read<T> {
        Err(self.settings.owner.problem(member, problem))
    }

    /// A setting of a recipe is a placeholder, and a member of its gateway.
    fn check_names(&self) -> Read<()> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let is_taken = |name: &str| {
            ["", "basic", "recipe", "channels"].contains(&name)
                || PLACEHOLDERS.iter().any(|(known, _)| *known == name)
        };
        for name in &self.settings.owner.credentials {
            if is_taken(name) || !name.bytes().all(is_plain) {
                let words = "must have another name, of lower-case letters, digits and underscores, which means nothing else in \
                             recipes";
                return self.wrong(&format!("recipe.settings.{name}"), words);
            }
        }
        Ok(())
    }

    /// The body of messages.
    fn body(&mut self) -> Read<BodyTemplate> {
        let HttpGatewaySettings { json, form, xml, .. } = self.settings;
        let first = if json.is_some() { "json" } else { "form" };
        let words = || format!("is given beside {first}, and a message has one body: remove one of them");
        Ok(match (json, form, xml) {
            (None, None, None) => BodyTemplate::Empty,
            (Some(json), None, None) => BodyTemplate::Json(self.json(json)?),
            (None, Some(form), None) => BodyTemplate::Form(self.form(form)?),
            (None, None, Some(xml)) => BodyTemplate::Xml(self.template(xml, "xml")?),
            (Some(_), Some(_), _) => return self.wrong("form", words()),
            (_, _, Some(_)) => return self.wrong("xml", words()),
        })
    }

    /// The request of a method, a URL and a body. What `of` names is not a message, but asks about a code.
    fn request(
        &mut self,
        of: &str,
        (method, url): (&str, &str),
        body: BodyTemplate,
        headers: &[(HeaderName, Template)],
    ) -> Read<RequestTemplate> {
        let method = match method.to_ascii_uppercase().as_str() {
            "GET" if !matches!(body, BodyTemplate::Empty) => {
                let words = "is GET, which has no body: use POST or PUT, or leave json, form and xml out";
                return self.wrong("method", words);
            }
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => return self.wrong("method", "must be GET, POST or PUT"),
        };
        let (url, address) = self.url(url, &format!("{of}url"))?;
        let signer = self.settings.sign.as_ref().map(|sign| Signer::new(sign, &url, self)).transpose()?;
        // A request that forgets the number or the code would be accepted, and paid for, to no end.
        let has = |wanted: [&str; 2]| wanted.iter().any(|wanted| self.used.contains(wanted));
        let member = of.trim_end_matches('.');
        if !has(["to", "to_digits"]) {
            let words = "has neither {to} nor {to_digits}: the message would have no recipient";
            return self.wrong(member, words);
        } else if !has(["text", "code"]) && (self.settings.check.is_none() || !of.is_empty()) {
            return self.wrong(member, "has neither {text} nor {code}: the message would carry no code");
        }
        let (headers, words) = (headers.to_vec(), self.settings.channel_words.clone());
        Ok(RequestTemplate { method, address, url, headers, body, signer, words })
    }

    fn account(&mut self, url: &str, headers: &[(HeaderName, Template)]) -> Read<Request> {
        let Some(url) = self.url(url, "account.url")?.0.fixed() else {
            return self.wrong("account.url", "must be a URL without parts of a message");
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
        Ok(request)
    }

    /// `{{` and `}}` stand for braces themselves. `setting` says in errors where the text was written.
    pub(super) fn template(&mut self, text: &str, setting: &str) -> Read<Template> {
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
                    return self.wrong(setting, words);
                }
            }
        }
        parts.push(TemplatePart::Written(written));
        parts.retain(|part| !matches!(part, TemplatePart::Written(text) if text.is_empty()));
        Ok(Template(parts))
    }

    fn part_named(&mut self, name: &str, setting: &str) -> Read<TemplatePart> {
        let HttpGatewaySettings { owner, basic, .. } = self.settings;
        if let Some((name, value)) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name) {
            self.used.push(name);
            return Ok(TemplatePart::Filled(value));
        }
        if owner.credentials.iter().any(|known| known == name) {
            let value = self.credential(name, name, setting)?;
            return Ok(match name {
                "url" => TemplatePart::Written(value.trim_end_matches('/').to_owned()),
                _ => TemplatePart::Secret(value),
            });
        }
        if name == "basic" {
            let basic = basic.as_ref().map(|[user, password]| [user.as_str(), password]);
            let [user, password] = basic.unwrap_or(["username", "password"]);
            let user_name = self.credential(user, name, setting)?;
            let password = self.credential(password, name, setting)?;
            if user_name.contains(':') {
                let variable = owner.variable(user);
                let words = format!("uses {{basic}}, for which {variable} must not contain a colon");
                return self.wrong(setting, words);
            }
            return Ok(TemplatePart::Secret(basic_credentials(&user_name, &password)));
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
        self.wrong(setting, format!("has {what}; there are {names}"))
    }

    /// The value of a credential, for a placeholder. A value that is not configured is an error, which names the variable to
    /// set.
    fn credential(&mut self, name: &str, placeholder: &str, setting: &str) -> Read<Zeroizing<String>> {
        let HttpGatewaySettings { owner, values, .. } = self.settings;
        self.used.extend(owner.credentials.iter().map(String::as_str).filter(|known| *known == name));
        match values.get(name).map(ExposeSecret::expose_secret) {
            Some(value) if !value.is_empty() || owner.is_optional(name) => {
                Ok(Zeroizing::new(value.to_owned()))
            }
            _ => {
                let variable = owner.variable(name);
                self.wrong(setting, format!("uses {{{placeholder}}}, which has no value: set {variable}"))
            }
        }
    }

    /// The credential that a key such as `{token}` is.
    pub(super) fn key(&mut self, text: &str, setting: &str) -> Read<Zeroizing<String>> {
        let key = self.credential_of(text, setting)?;
        if key.is_empty() {
            let variable = self.settings.owner.variable(text.trim_matches(['{', '}']));
            return self.wrong(setting, format!("must not be empty: set {variable}"));
        }
        Ok(key)
    }

    /// A credential as a placeholder, which may be empty.
    pub(super) fn credential_of(&mut self, text: &str, setting: &str) -> Read<Zeroizing<String>> {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match name.filter(|name| self.settings.owner.credentials.iter().any(|known| known == name)) {
            Some(name) => self.credential(name, name, setting),
            None => self.wrong(setting, "must be one credential, such as {token}"),
        }
    }

    /// The name of a header that may be written.
    pub(super) fn header(&self, written: &str, setting: &str) -> Read<HeaderName> {
        match HeaderName::from_bytes(written.as_bytes()) {
            Err(_) => self.wrong(setting, "has a name that cannot be a header's (RFC 9110, 5.1)"),
            Ok(name) if NOT_OURS.contains(&name) => {
                self.wrong(setting, "is written by the HTTP client itself: leave it out")
            }
            Ok(name) => Ok(name),
        }
    }

    fn form(&mut self, fields: &[(String, String)]) -> Read<Vec<(String, Template)>> {
        let read = |(name, value): &(String, String)| {
            Ok((name.clone(), self.template(value, &format!("form.{name}"))?))
        };
        fields.iter().map(read).collect()
    }

    fn json(&mut self, value: &Value) -> Read<JsonTemplate> {
        Ok(match value {
            Value::String(text) => match text.strip_suffix(":number}") {
                Some(number) => JsonTemplate::Number(self.template(&format!("{number}}}"), "json")?),
                None => JsonTemplate::Text(self.template(text, "json")?),
            },
            Value::Array(items) => {
                JsonTemplate::List(items.iter().map(|item| self.json(item)).collect::<Read<_>>()?)
            }
            Value::Object(members) => {
                let read = |(name, value): (&String, &Value)| Ok((name.clone(), self.json(value)?));
                JsonTemplate::Object(members.iter().map(read).collect::<Read<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => JsonTemplate::Fixed(value.clone()),
        })
    }

    fn headers(&mut self) -> Read<Vec<(HeaderName, Template)>> {
        let mut headers: Vec<(HeaderName, Template)> = Vec::new();
        for (written, value) in &self.settings.headers {
            let setting = format!("headers.{written}");
            let name = self.header(written, &setting)?;
            if headers.iter().any(|(other, _)| *other == name) {
                return self.wrong(&setting, "is given twice");
            }
            let used_before = self.used.len();
            let template = self.template(value, &setting)?;
            if self.used[used_before..].contains(&"text") {
                let words = "uses {text}, which a header cannot carry: put it into the URL or the body";
                return self.wrong(&setting, words);
            }
            // Every other placeholder is visible ASCII whatever the message.
            let fits = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if !template.written_and_secret().all(fits) {
                let words = "must be visible ASCII characters and spaces, secrets included";
                return self.wrong(&setting, words);
            }
            headers.push((name, template));
        }
        Ok(headers)
    }

    /// A URL, and its scheme, host and port. They must be written out, or be the setting `url`: no part of a message may
    /// decide which server gets the code.
    fn url(&mut self, text: &str, setting: &str) -> Read<(Template, Url)> {
        let url = self.template(text, setting)?;
        let beginning = url.0.iter().map_while(|part| match part {
            TemplatePart::Written(text) => Some(text.as_str()),
            _ => None,
        });
        let beginning: String = beginning.collect();
        let is_written_out = url.0.iter().all(|part| matches!(part, TemplatePart::Written(_)));
        let behind_scheme = beginning.find("://").map_or(0, |place| place + "://".len());
        let authority_ends = beginning[behind_scheme..].find(['/', '?', '#']);
        if url.0.is_empty() {
            let words = "is missing: say where messages go, such as \"https://sms.example.com/send\"";
            return self.wrong(setting, words);
        } else if !is_written_out && authority_ends.is_none() {
            let words = "must have scheme and host written out, and a / or ? before the first placeholder";
            return self.wrong(setting, words);
        } else if url.written_and_secret().any(|part| part.contains('#')) {
            return self.wrong(setting, "must not contain a # part, which is never sent");
        }
        let owner = &self.settings.owner;
        let address = provider_url(owner.gateway, &owner.setting(setting), &beginning)?;
        Ok((url, address))
    }

    fn check_pointers(&self) -> Read<()> {
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
        match pointers.into_iter().find(|(_, pointer)| !is_json_pointer(pointer)) {
            Some((member, _)) => {
                self.wrong(member, "must be a JSON pointer (RFC 6901) such as /messages/0/status")
            }
            None => Ok(()),
        }
    }
}
