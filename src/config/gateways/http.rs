//! The gateway that the configuration describes: what `http-gateway` may have, and what it means.
//!
//! Whether placeholders can be filled is for the gateway itself to say; here it is seen to that every
//! member has its type, that none contradicts another, and that no credential is among them.

use figment::value::Value as Given;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value};
use url::Url;

use super::super::members::{Members, Noted};
use super::super::object::object_of;
use super::super::report::Report;
use super::super::urls::BaseUrl;
use super::super::value::{Setting, quoted, shown_json};
use super::http_secrets::{plain_secret, secret_in_url};
use crate::domain::Channel;
use crate::gateway::{HttpBody, HttpGatewaySettings, HttpSuccess};

/// The object as it was given.
#[derive(Debug)]
pub struct HttpGateway(pub Map<String, Value>);

impl Setting for HttpGateway {
    fn of(value: &Given) -> Option<Self> {
        object_of(value).map(Self)
    }

    fn read(text: &str) -> Option<Self> {
        Self::of(&Given::from(text))
    }

    /// A header may hold what is none of anybody's business.
    fn is_secret(_text: &str) -> bool {
        true
    }

    /// Method and place only: a query or a body may hold what is none of anybody's business.
    fn shown(&self) -> String {
        let text = |name: &str| self.0.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = text("url");
        let end = url.find(['?', '#']).unwrap_or(url.len());
        format!("{:?}", format!("{} {}", text("method").to_ascii_uppercase(), &url[..end]).trim())
    }

    fn accepted() -> String {
        "an object such as {\"method\": \"POST\", \"url\": \"https://sms.example.com/send\", \"json\": {\"to\": \"{to}\", \
         \"text\": \"{text}\"}}"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(Map::new())
    }

    fn schema() -> Schema {
        let text = json_schema!({ "type": ["string", "number", "boolean"] });
        let texts = json_schema!({ "anyOf": [text, { "type": "array", "items": text }] });
        let fields = json_schema!({ "type": "object", "additionalProperties": text });
        let channel = json_schema!({ "type": "string", "enum": ["sms", "call", "whatsapp"] });
        json_schema!({
            "type": "object",
            "required": ["url"],
            "properties": {
                "method": { "type": "string", "enum": METHODS, "description": "POST where there is a body, else GET, unless said otherwise." },
                "url": { "type": "string", "pattern": "^https?://", "description": "Where messages go; may have placeholders." },
                "headers": { "anyOf": [fields], "description": "Further headers; may have placeholders." },
                "json": { "description": "A JSON body; its texts may have placeholders." },
                "form": { "anyOf": [fields], "description": "Fields of a form; may have placeholders." },
                "channels": { "anyOf": [channel, { "type": "array", "items": channel, "minItems": 1 }], "description": "Channels that it serves; text messages unless said otherwise." },
                "success": {
                    "type": "object",
                    "description": "What an accepted message is answered with: every condition must hold.",
                    "properties": {
                        "statuses": { "anyOf": [texts], "description": "HTTP statuses; any 2xx where none is given." },
                        "json": { "type": "string", "description": "JSON pointer (RFC 6901) into the answer." },
                        "equals": { "anyOf": [texts], "description": "Values there that mean success." },
                        "contains": { "type": "string", "description": "A text that the answer contains." },
                        "message_id": { "type": "string", "description": "JSON pointer to the id of the message." },
                        "bad_number": { "anyOf": [texts], "description": "Values there that say that the number does not exist." },
                        "retry": { "anyOf": [texts], "description": "Values there that say that the same call may work later." },
                    },
                },
            },
        })
    }
}

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const MEMBERS: [&str; 7] = ["method", "url", "headers", "json", "form", "success", "channels"];
const OF_SUCCESS: [&str; 7] = ["statuses", "json", "equals", "contains", "message_id", "bad_number", "retry"];

/// The settings without their credentials. `None` after an error.
pub fn settings(object: HttpGateway, origin: &str, report: &mut Report) -> Option<HttpGatewaySettings> {
    let mut members = Members::new("http-gateway", object.0, &MEMBERS, origin, report);
    let url = url(&mut members);
    let headers = members.fields("headers");
    check_headers(headers.as_deref(), &mut members);
    let body = body(&mut members);
    let method = method(body.as_ref(), &mut members);
    let channels = channels(&mut members);
    let success = success(&mut members);
    Some(HttpGatewaySettings {
        method: method?,
        url: url?,
        headers: headers?,
        body: body?,
        success: success?,
        channels: channels?,
        username: None,
        password: None,
        token: None,
    })
}

fn url(members: &mut Members<'_>) -> Option<String> {
    let Some(url) = members.text("url").ok()? else {
        members.wrong(
            "url",
            None,
            "it is missing: say where messages go, such as \"https://sms.example.com/send\"",
        );
        return None;
    };
    let filled = without_placeholders(&url);
    let parsed = Url::parse(&filled).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(parsed) = parsed else {
        members.wrong("url", None, "it must be a URL that begins with http:// or https:// and a host");
        return None;
    };
    let authority =
        url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if authority.contains('{') {
        members.wrong("url", None, "its host must not have placeholders");
        return None;
    }
    if let Some(problem) = secret_in_url(&url) {
        members.wrong("url", None, problem);
        return None;
    }
    let origin = parsed.origin().ascii_serialization();
    if BaseUrl::read(&origin).is_some_and(|url| url.is_exposed()) {
        members.warn("http-gateway.url begins with http: credentials and codes travel unencrypted");
    }
    Some(url)
}

/// With something harmless where placeholders are, which a URL itself could not have.
fn without_placeholders(url: &str) -> String {
    url.replace(['{', '}'], "x")
}

fn check_headers(headers: Option<&[(String, String)]>, members: &mut Members<'_>) {
    for (name, value) in headers.unwrap_or_default() {
        let path = format!("headers.{name}");
        let of_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(of_token) {
            members.wrong(
                &path,
                None,
                "the name of a header has only ASCII letters, digits and - (RFC 9110, 5.1)",
            );
        }
        if value.chars().any(char::is_control) {
            members.wrong(
                &path,
                None,
                "the value of a header must not have line breaks or control characters",
            );
        }
        if let Some(problem) = plain_secret(name, value) {
            members.wrong(&path, None, problem);
        }
    }
}

fn body(members: &mut Members<'_>) -> Option<HttpBody> {
    let json = members.take("json");
    let has_form = members.has("form");
    let form = members.fields("form");
    if json.is_some() && has_form {
        members.wrong(
            "json",
            None,
            "\"form\" is given as well, and a message has one body. Remove one of them",
        );
        return None;
    }
    if let Some(json) = json {
        let secrets = super::http_secrets::secrets_in(&json, "json");
        for (path, problem) in &secrets {
            members.wrong(path, None, problem);
        }
        return secrets.is_empty().then_some(HttpBody::Json(json));
    }
    let form = form?;
    if !has_form {
        return Some(HttpBody::Empty);
    }
    for (name, value) in &form {
        if let Some(problem) = plain_secret(name, value) {
            members.wrong(&format!("form.{name}"), None, problem);
        }
    }
    Some(HttpBody::Form(form))
}

fn method(body: Option<&HttpBody>, members: &mut Members<'_>) -> Option<String> {
    let Some(given) = members.text("method").ok()? else {
        let method = if matches!(body, Some(HttpBody::Empty)) { "GET" } else { "POST" };
        return Some(method.to_owned());
    };
    let method = given.trim().to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        members.wrong("method", Some(quoted(&given)), "it must be one of \"GET\", \"POST\", \"PUT\"");
        return None;
    }
    if method == "GET" && matches!(body, Some(HttpBody::Json(_) | HttpBody::Form(_))) {
        let problem =
            "GET has no body, but \"json\" or \"form\" is given. Put the fields into the URL, or use POST";
        members.wrong("method", Some(quoted(&given)), problem);
        return None;
    }
    Some(method)
}

fn channels(members: &mut Members<'_>) -> Option<Vec<Channel>> {
    let given = members.has("channels");
    let names = members.texts("channels")?;
    let mut channels = Vec::new();
    for name in &names {
        match Channel::parse(name.trim()) {
            Some(channel) if !channels.contains(&channel) => channels.push(channel),
            Some(_) => {}
            None => {
                let problem = "a channel is \"sms\", \"call\" or \"whatsapp\"";
                members.wrong("channels", Some(quoted(name)), problem);
                return None;
            }
        }
    }
    if given && channels.is_empty() {
        members.wrong(
            "channels",
            Some("[]".to_owned()),
            "it is empty. Remove it for text messages, or name channels",
        );
        return None;
    }
    Some(if given { channels } else { vec![Channel::Sms] })
}

fn success(members: &mut Members<'_>) -> Option<HttpSuccess> {
    let Some(given) = members.take("success") else { return Some(HttpSuccess::default()) };
    let Value::Object(object) = given else {
        members.wrong(
            "success",
            Some(shown_json(&given)),
            "it must be an object such as {\"statuses\": [200]}",
        );
        return None;
    };
    let mut success = members.inner("success", object, &OF_SUCCESS);
    let statuses = success.texts("statuses")?.into_iter().map(|status| {
        let number = status.trim().parse().ok().filter(|number| (200..=599).contains(number));
        if number.is_none() {
            success.wrong("statuses", Some(quoted(&status)), "an HTTP status is a number from 200 to 599");
        }
        number
    });
    let statuses: Option<Vec<u16>> = statuses.collect();
    let place = pointer("json", &mut success);
    let equals = success.texts("equals");
    let contains = success.text("contains");
    let message_id = pointer("message_id", &mut success);
    let (bad_number, retry) = (success.texts("bad_number"), success.texts("retry"));
    let (place, equals) = (place.ok()?, equals?);
    let (bad_number, retry) = (bad_number?, retry?);
    if place.is_none() {
        for (name, values) in [("equals", &equals), ("bad_number", &bad_number), ("retry", &retry)] {
            if !values.is_empty() {
                let problem =
                    "it lists values at the place that \"json\" points to, and there is no \"json\"";
                success.wrong(name, None, problem);
                return None;
            }
        }
    }
    if place.is_some() && equals.is_empty() {
        success.wrong("json", None, "\"equals\" must say which values there mean success");
        return None;
    }
    Some(HttpSuccess {
        statuses: statuses?,
        json: place.map(|place| (place, equals)),
        contains: contains.ok()?.filter(|text| !text.is_empty()),
        message_id: message_id.ok()?,
        bad_number,
        retry,
    })
}

/// A JSON pointer, if there is one.
fn pointer(name: &str, members: &mut Members<'_>) -> Result<Option<String>, Noted> {
    let pointer = members.text(name)?;
    if let Some(wrong) = pointer.as_ref().filter(|text| !text.is_empty() && !text.starts_with('/')) {
        let problem = "it must be a JSON pointer (RFC 6901) such as \"/result/status\"";
        members.wrong(name, Some(quoted(wrong)), problem);
        return Err(Noted);
    }
    Ok(pointer)
}
