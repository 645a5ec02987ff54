//! The gateway that the configuration describes: what `http-gateway` may have, and what it means.
//!
//! Whether placeholders can be filled is for the gateway itself to say; here every member gets its type, none contradicts
//! another, and no credential is among them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::context::{Context, Part};
use super::gateways::{Complete, Reported};
use super::kind::{As, Kind, Text, objects, quoted, text_of};
use super::schema::properties;
use super::values::{Password, is_exposed};
use crate::domain::Channel;
use crate::gateway::{HttpBody, HttpGatewaySettings, HttpSuccess};
use crate::template::placeholder::{PieceKind, pieces};

const KEY: &str = "http-gateway";
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const CHANNELS: [&str; 3] = ["sms", "call", "whatsapp"];

objects! {
    /// The object as it was given.
    HttpGateway {
        accepted: "an object such as {\"method\": \"POST\", \"url\": \"https://sms.example.com/send\", \"json\": {\"to\": \
                   \"{to}\", \"text\": \"{text}\"}}",
        schema: {
            json_schema!({
                "type": "object", "writeOnly": true, "required": ["url"], "properties": properties::<Members>(),
            })
        },
        // Method and place only: a query or a body may hold credentials.
        shown: |object| {
            let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
            let place = text("url").split(['?', '#']).next().unwrap_or_default();
            json!(format!("{} {place}", text("method").to_ascii_uppercase()).trim())
        },
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Members {
    /// POST where there is a body, else GET, unless said otherwise.
    #[serde(with = "As::<Option<Text>>")]
    #[schemars(extend("enum" = METHODS))]
    method: Option<String>,
    /// Where messages go; may have placeholders.
    #[serde(with = "As::<Option<Text>>")]
    #[schemars(extend("pattern" = "^https?://"))]
    url: Option<String>,
    /// Further headers; may have placeholders.
    headers: BTreeMap<String, Field>,
    /// A JSON body; its texts may have placeholders.
    json: Option<Value>,
    /// Fields of a form; may have placeholders.
    form: Option<BTreeMap<String, Field>>,
    /// Channels that it serves; text messages unless said otherwise.
    #[serde(with = "As::<Option<Texts>>")]
    #[schemars(extend("anyOf" = [
        { "enum": CHANNELS }, { "type": "array", "items": { "enum": CHANNELS }, "minItems": 1 }
    ]))]
    channels: Option<Vec<String>>,
    /// What an accepted message is answered with: every condition must hold.
    success: Success,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "an object such as {\"statuses\": [200]}")]
struct Success {
    /// HTTP statuses; any 2xx where none is given.
    #[serde(with = "As::<Texts>")]
    statuses: Vec<String>,
    /// JSON pointer (RFC 6901) into the answer.
    #[serde(with = "As::<Option<Text>>")]
    json: Option<String>,
    /// Values there that mean success.
    #[serde(with = "As::<Texts>")]
    equals: Vec<String>,
    /// A text that the answer contains.
    #[serde(with = "As::<Option<Text>>")]
    contains: Option<String>,
    /// JSON pointer to the id of the message.
    #[serde(with = "As::<Option<Text>>")]
    message_id: Option<String>,
    /// Values there that say that the number does not exist.
    #[serde(with = "As::<Texts>")]
    bad_number: Vec<String>,
    /// Values there that say that the same call may work later.
    #[serde(with = "As::<Texts>")]
    retry: Vec<String>,
}

// The value of a header or of a field.
#[derive(Deserialize, JsonSchema)]
struct Field(#[serde(with = "As::<Text>")] String);

/// One text or number, or a list of them.
struct Texts;

impl Kind for Texts {
    type Value = Vec<String>;

    fn of(value: &Value) -> Option<Self::Value> {
        match value {
            Value::Array(values) => values.iter().map(text_of).collect(),
            value => text_of(value).map(|text| vec![text]),
        }
    }

    fn shown(texts: &Self::Value) -> Value {
        json!(texts)
    }

    fn accepted() -> String {
        "a list of texts or numbers, or one of them".to_owned()
    }

    fn schema() -> Schema {
        let text = Text::schema();
        json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
    }
}

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HttpKeys {
    /// What `{username}` stands for.
    #[serde(rename = "HTTP_GATEWAY_USERNAME", with = "As::<Option<Password>>")]
    username: Option<SecretString>,
    /// What `{password}` stands for.
    #[serde(rename = "HTTP_GATEWAY_PASSWORD", with = "As::<Option<Password>>")]
    password: Option<SecretString>,
    /// What `{token}` stands for.
    #[serde(rename = "HTTP_GATEWAY_TOKEN", with = "As::<Option<Password>>")]
    token: Option<SecretString>,
}

impl HttpKeys {
    pub fn complete(
        self,
        object: Option<&Map<String, Value>>,
        c: &mut Context,
    ) -> Complete<HttpGatewaySettings> {
        let settings = object.and_then(|object| settings(object, &mut c.part(KEY)));
        let (mut complete, mut fillable) = (true, true);
        for (variable, place, value) in [
            ("HTTP_GATEWAY_USERNAME", "username", &self.username),
            ("HTTP_GATEWAY_PASSWORD", "password", &self.password),
            ("HTTP_GATEWAY_TOKEN", "token", &self.token),
        ] {
            let wanted = settings.as_ref().is_some_and(|settings| mentions(settings, place));
            fillable &= value.is_some() || !wanted;
            if value.is_some() && !c.is_set(KEY) {
                complete = false;
                c.wrong(
                    variable,
                    None,
                    "it belongs to the gateway that \"http-gateway\" describes, and that is missing",
                );
            } else if value.is_some() && settings.is_some() && !wanted {
                let origin = c.origin(variable);
                c.report.warn(format!(
                    "{variable} is not used: nothing in http-gateway has {{{place}}}; given by {origin}"
                ));
            } else if wanted && !c.is_set(variable) {
                complete = false;
                let problem = format!(
                    "it needs {{{place}}}, and {variable} is missing. Set it in the environment or .env"
                );
                c.wrong(KEY, None, problem);
            }
        }
        if complete && !c.is_set(KEY) {
            return Ok(None);
        }
        // Of a member that is wrong nothing else follows.
        let usable = complete && fillable && !c.is_wrong_in_part(KEY);
        let settings = settings.filter(|_| usable).ok_or(Reported)?;
        let Self { username, password, token } = self;
        let settings = HttpGatewaySettings { username, password, token, ..settings };
        let problems = settings.problems();
        for problem in &problems {
            c.part(KEY).wrong(&problem.setting, None, format!("it {}", problem.problem));
        }
        if problems.is_empty() { Ok(Some(settings)) } else { Err(Reported) }
    }
}

/// Whether a credential is put in anywhere: by its own placeholder, or as a part of `{basic}`.
fn mentions(settings: &HttpGatewaySettings, place: &str) -> bool {
    let is_meant = |name: &str| name == place || name == "basic" && matches!(place, "username" | "password");
    let has = |text: &str| {
        pieces(text).any(|piece| matches!(piece.kind, PieceKind::Single(name) if is_meant(name)))
    };
    let of_pair = |(_, value): &(String, String)| has(value);
    has(&settings.url)
        || settings.headers.iter().any(of_pair)
        || match &settings.body {
            HttpBody::Empty => false,
            HttpBody::Json(json) => of_json(json, &has),
            HttpBody::Form(fields) => fields.iter().any(of_pair),
        }
}

/// Whether it holds for a text in a JSON value.
fn of_json(json: &Value, has: &impl Fn(&str) -> bool) -> bool {
    match json {
        Value::String(text) => has(text),
        Value::Array(items) => items.iter().any(|item| of_json(item, has)),
        Value::Object(members) => members.values().any(|value| of_json(value, has)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Notes what is wrong with a member. `given` is for what is surely no secret.
fn wrong(name: &str, given: Option<String>, problem: &str, part: &mut Part<'_>) {
    part.wrong(format!("{KEY}.{name}"), given, problem);
}

/// The settings without their credentials. `None` after an error.
fn settings(object: &Map<String, Value>, part: &mut Part<'_>) -> Option<HttpGatewaySettings> {
    // A text may hold a credential.
    let is_shown = |value: &Value| !value.is_string();
    let read = part.read::<Members>(KEY, object.clone(), &properties::<Members>(), is_shown);
    let (members, _) = read.filter(|(_, is_complete)| *is_complete)?;
    let pairs =
        |fields: BTreeMap<String, Field>| fields.into_iter().map(|(name, Field(value))| (name, value));
    let headers: Vec<(String, String)> = pairs(members.headers).collect();
    check_headers(&headers, part);
    let url = url(members.url, part);
    let body = body(members.json, members.form.map(|form| pairs(form).collect()), part);
    let method = method(members.method, body.as_ref(), part);
    let channels = channels(members.channels, part);
    let success = success(members.success, part);
    Some(HttpGatewaySettings {
        method: method?,
        url: url?,
        headers,
        body: body?,
        success: success?,
        channels: channels?,
        username: None,
        password: None,
        token: None,
    })
}

fn url(given: Option<String>, part: &mut Part<'_>) -> Option<String> {
    let missing = "it is missing: say where messages go, such as \"https://sms.example.com/send\"";
    if let Some(problem) = given.as_deref().map_or(Some(missing), url_problem) {
        wrong("url", None, problem, part);
        return None;
    }
    let place = given.as_deref().and_then(|url| url.split(['?', '#']).next()).unwrap_or_default();
    if is_exposed(&without_placeholders(place)) {
        part.report.warn(format!(
            "http-gateway.url begins with http: credentials and codes travel unencrypted; given by {}",
            part.origin
        ));
    }
    given
}

fn url_problem(url: &str) -> Option<&'static str> {
    let parsed = Url::parse(&without_placeholders(url)).ok();
    if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
        return Some("it must be a URL that begins with http:// or https:// and a host");
    }
    if authority(url).contains('{') {
        return Some("its host must not have placeholders");
    }
    secret_in_url(url)
}

/// The part of a URL between the scheme and the path.
fn authority(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default()
}

/// With something harmless where placeholders are, which a URL itself could not have.
fn without_placeholders(url: &str) -> String {
    url.replace(['{', '}'], "x")
}

fn check_headers(headers: &[(String, String)], part: &mut Part<'_>) {
    for (name, value) in headers {
        let of_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let is_named = !name.is_empty() && name.bytes().all(of_token);
        let bad_name = (!is_named)
            .then_some("the name of a header has only ASCII letters, digits and - (RFC 9110, 5.1)");
        let bad_value = value
            .chars()
            .any(char::is_control)
            .then_some("the value of a header must not have line breaks or control characters");
        for problem in [bad_name, bad_value, plain_secret(name, value)].into_iter().flatten() {
            wrong(&format!("headers.{name}"), None, problem, part);
        }
    }
}

fn body(json: Option<Value>, form: Option<Vec<(String, String)>>, part: &mut Part<'_>) -> Option<HttpBody> {
    match (json, form) {
        (Some(_), Some(_)) => {
            let problem = "\"form\" is given as well, and a message has one body. Remove one of them";
            wrong("json", None, problem, part);
            None
        }
        (Some(json), None) => {
            let secrets = secrets_in(&json, "json");
            for (path, problem) in &secrets {
                wrong(path, None, problem, part);
            }
            secrets.is_empty().then_some(HttpBody::Json(json))
        }
        (None, Some(form)) => {
            for (name, value) in &form {
                if let Some(problem) = plain_secret(name, value) {
                    wrong(&format!("form.{name}"), None, problem, part);
                }
            }
            Some(HttpBody::Form(form))
        }
        (None, None) => Some(HttpBody::Empty),
    }
}

fn method(given: Option<String>, body: Option<&HttpBody>, part: &mut Part<'_>) -> Option<String> {
    let Some(given) = given else {
        let method = if matches!(body, Some(HttpBody::Empty)) { "GET" } else { "POST" };
        return Some(method.to_owned());
    };
    let method = given.trim().to_ascii_uppercase();
    let problem = if !METHODS.contains(&method.as_str()) {
        "it must be one of \"GET\", \"POST\", \"PUT\""
    } else if method == "GET" && matches!(body, Some(HttpBody::Json(_) | HttpBody::Form(_))) {
        "GET has no body, but \"json\" or \"form\" is given. Put the fields into the URL, or use POST"
    } else {
        return Some(method);
    };
    wrong("method", Some(quoted(&given)), problem, part);
    None
}

fn channels(given: Option<Vec<String>>, part: &mut Part<'_>) -> Option<Vec<Channel>> {
    let Some(names) = given else { return Some(vec![Channel::Sms]) };
    let mut channels = Vec::new();
    for name in &names {
        match Channel::parse(name.trim()) {
            Some(channel) if !channels.contains(&channel) => channels.push(channel),
            Some(_) => {}
            None => {
                let problem = "a channel is \"sms\", \"call\" or \"whatsapp\"";
                wrong("channels", Some(quoted(name)), problem, part);
                return None;
            }
        }
    }
    if channels.is_empty() {
        let problem = "it is empty. Remove it for text messages, or name channels";
        wrong("channels", Some("[]".to_owned()), problem, part);
        return None;
    }
    Some(channels)
}

fn success(given: Success, part: &mut Part<'_>) -> Option<HttpSuccess> {
    let Success { statuses, json, equals, contains, message_id, bad_number, retry } = given;
    let mut right = true;
    let mut wrong = |name: &str, given: Option<&String>, problem: &str| {
        right = false;
        wrong(&format!("success.{name}"), given.map(|text| quoted(text)), problem, part);
    };
    let mut numbers = Vec::new();
    for status in &statuses {
        match status.trim().parse().ok().filter(|number| (200..=599).contains(number)) {
            Some(number) => numbers.push(number),
            None => wrong("statuses", Some(status), "an HTTP status is a number from 200 to 599"),
        }
    }
    for (name, pointer) in [("json", &json), ("message_id", &message_id)] {
        if let Some(text) = pointer.as_ref().filter(|text| !text.is_empty() && !text.starts_with('/')) {
            wrong(name, Some(text), "it must be a JSON pointer (RFC 6901) such as \"/result/status\"");
        }
    }
    for (name, values) in [("equals", &equals), ("bad_number", &bad_number), ("retry", &retry)] {
        if json.is_none() && !values.is_empty() {
            let problem = "it lists values at the place that \"json\" points to, and there is no \"json\"";
            wrong(name, None, problem);
        }
    }
    if json.is_some() && equals.is_empty() {
        wrong("json", None, "\"equals\" must say which values there mean success");
    }
    right.then(|| HttpSuccess {
        statuses: numbers,
        json: json.map(|place| (place, equals)),
        contains: contains.filter(|text| !text.is_empty()),
        message_id,
        bad_number,
        retry,
    })
}

/// What to do about a credential that was written into the description.
const ELSEWHERE: &str = "this looks like a credential, and credentials do not belong in a configuration. Put {token}, \
     {username} or {password} in its place, and set HTTP_GATEWAY_TOKEN, HTTP_GATEWAY_USERNAME or \
     HTTP_GATEWAY_PASSWORD in the environment or .env";

/// The problem with a value that should be a placeholder, by the name of its field.
fn plain_secret(name: &str, value: &str) -> Option<&'static str> {
    /// What names of credentials end with, without what is no letter.
    const NAMES: [&str; 10] = [
        "authorization",
        "cookie",
        "password",
        "passwd",
        "pass",
        "pwd",
        "secret",
        "apikey",
        "token",
        "accesskey",
    ];
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let named = NAMES.iter().any(|secret| name.to_ascii_lowercase().ends_with(secret));
    (named && !value.is_empty() && !value.contains('{')).then_some(ELSEWHERE)
}

/// The same for user name, password and query of a URL, which may have placeholders.
fn secret_in_url(url: &str) -> Option<&'static str> {
    if authority(url).contains('@') {
        return Some(
            "a user name or password in a URL is not sent. Use a header such as Authorization with {username} and {password}",
        );
    }
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| plain_secret(&name, &value))
}

/// The same for every text of a JSON body, with its path.
fn secrets_in(json: &Value, path: &str) -> Vec<(String, &'static str)> {
    match json {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match text_of(value).and_then(|text| plain_secret(name, &text)) {
                    Some(problem) => vec![(path, problem)],
                    None => secrets_in(value, &path),
                }
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| secrets_in(item, path)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
