//! The gateway that the configuration describes: what `http-gateway` may have, and what it means.
//!
//! Here every member gets its type, and no credential is among them. What a request or an answer can be is checked by
//! the gateway itself.

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::context::{Context, Part};
use super::gateways::Variables;
use super::kind::{As, Text, kinds, object_of, quoted, shown_json, text_of};
use super::schema::properties;
use super::values::{Channels, is_exposed};
use crate::domain::Channel;
use crate::gateway::{HttpBody, HttpGatewaySettings, HttpSuccess};
use crate::template::placeholder::{PieceKind, pieces};

const KEY: &str = "http-gateway";
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];

kinds! {
    /// The object as it was given.
    HttpGateway -> Map<String, Value> {
        accepted: "an object such as {\"method\": \"POST\", \"url\": \"https://sms.example.com/send\", \"json\": {\"to\": \
                   \"{to}\", \"text\": \"{text}\"}}",
        schema: json_schema!({
            "type": "object", "writeOnly": true, "required": ["url"], "properties": properties::<Members>(),
        }),
        of: |value| object_of(value),
        // Method and place only: a query or a body may hold credentials.
        shown: |object| {
            let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
            let place = text("url").split(['?', '#']).next().unwrap_or_default();
            json!(format!("{} {place}", text("method").to_ascii_uppercase()).trim())
        },
    }

    /// One text or number, or a list of them.
    Texts -> Vec<String> {
        accepted: "a list of texts or numbers, or one of them",
        schema: {
            let text = Text::schema();
            json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
        },
        of: |value| match value {
            Value::Array(values) => values.iter().map(text_of).collect(),
            value => text_of(value).map(|text| vec![text]),
        },
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Members {
    /// GET, POST or PUT. Without it POST with a body, else GET.
    #[serde(with = "As::<Option<Text>>")]
    #[schemars(extend("enum" = METHODS))]
    method: Option<String>,
    /// Where messages go; required. The host has no placeholders.
    #[serde(with = "As::<Option<Text>>")]
    #[schemars(extend("pattern" = "^https?://"))]
    url: Option<String>,
    /// Headers, with placeholders.
    headers: BTreeMap<String, Field>,
    /// A JSON body, with placeholders. Not with `form`.
    json: Option<Value>,
    /// Fields of a form, with placeholders. Not with `json`.
    form: Option<BTreeMap<String, Field>>,
    /// Channels that the gateway serves: sms, call, whatsapp. Without it sms.
    #[serde(with = "As::<Option<Channels>>")]
    channels: Option<Vec<Channel>>,
    /// The conditions of an accepted message, which must all hold.
    success: Success,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "an object such as {\"statuses\": [200]}")]
struct Success {
    /// HTTP statuses that mean success. Without it any 2xx.
    #[serde(with = "As::<Texts>")]
    statuses: Vec<String>,
    /// JSON pointer (RFC 6901) to a value in the answer.
    #[serde(with = "As::<Option<Text>>")]
    json: Option<String>,
    /// Values at `json` that mean success.
    #[serde(with = "As::<Texts>")]
    equals: Vec<String>,
    /// A text that the answer contains.
    #[serde(with = "As::<Option<Text>>")]
    contains: Option<String>,
    /// JSON pointer to the provider's id of the message.
    #[serde(with = "As::<Option<Text>>")]
    message_id: Option<String>,
    /// Values at `json` that mean that the number does not exist.
    #[serde(with = "As::<Texts>")]
    bad_number: Vec<String>,
    /// Values at `json` that mean that the same request may succeed later.
    #[serde(with = "As::<Texts>")]
    retry: Vec<String>,
}

// The value of a header or of a field.
#[derive(Deserialize, JsonSchema)]
struct Field(#[serde(with = "As::<Text>")] String);

/// The settings, if the gateway is described. `None` after an error, too.
pub fn read(
    object: Option<&Map<String, Value>>,
    variables: &Variables,
    c: &mut Context,
) -> Option<HttpGatewaySettings> {
    let credentials = [
        ("HTTP_GATEWAY_USERNAME", "username", &variables.http_gateway_username),
        ("HTTP_GATEWAY_PASSWORD", "password", &variables.http_gateway_password),
        ("HTTP_GATEWAY_TOKEN", "token", &variables.http_gateway_token),
    ];
    let Some(object) = object else {
        for (variable, ..) in credentials.iter().filter(|(.., value)| value.is_some()) {
            let problem = "it belongs to the gateway that \"http-gateway\" describes, and that is missing";
            c.wrong(variable, None, problem);
        }
        return None;
    };
    let before = c.report.error_count();
    let settings = settings(object, variables, &mut c.part(KEY))?;
    for (variable, place, value) in credentials {
        match (mentions(&settings, place), value.is_some()) {
            (false, true) => {
                let origin = c.origin(variable);
                c.report.warn(format!(
                    "{variable} is not used: nothing in http-gateway has {{{place}}}; given by {origin}"
                ));
            }
            (true, false) => {
                let problem = format!(
                    "it needs {{{place}}}, and {variable} is missing. Set it in the environment or .env"
                );
                c.wrong(KEY, None, problem);
            }
            _ => {}
        }
    }
    // Of a member that is wrong nothing else follows.
    if c.report.error_count() == before {
        for problem in settings.problems() {
            let given = given(object, &problem.setting);
            c.part(KEY).wrong(&problem.setting, given, format!("it {}", problem.problem));
        }
    }
    Some(settings)
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
            HttpBody::Json(json) => leaves(json, "", "").iter().any(|(.., text)| has(text)),
            HttpBody::Form(fields) => fields.iter().any(of_pair),
        }
}

/// The value of a member, if it cannot hold a credential.
fn given(object: &Map<String, Value>, setting: &str) -> Option<String> {
    let path = setting.strip_prefix("http-gateway.").filter(|path| is_open(path))?;
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let inner = rest.split('.').filter(|name| !name.is_empty());
    inner.fold(object.get(first), |value, name| value?.get(name)).map(shown_json)
}

fn is_open(path: &str) -> bool {
    ["method", "channels", "success"].iter().any(|open| path.starts_with(open))
}

/// Notes what is wrong with a member. `given` is for what is surely no secret.
fn wrong(name: &str, given: Option<String>, problem: &str, part: &mut Part<'_>) {
    part.wrong(format!("{KEY}.{name}"), given, problem);
}

/// `None` after an error.
fn settings(
    object: &Map<String, Value>,
    variables: &Variables,
    part: &mut Part<'_>,
) -> Option<HttpGatewaySettings> {
    let is_shown = |path: &str, value: &Value| !value.is_string() || is_open(path);
    let read = part.read::<Members>(KEY, object.clone(), &properties::<Members>(), is_shown);
    let (members, _) = read.filter(|(_, is_complete)| *is_complete)?;
    let pairs =
        |fields: BTreeMap<String, Field>| fields.into_iter().map(|(name, Field(value))| (name, value));
    let headers: Vec<(String, String)> = pairs(members.headers).collect();
    for (name, value) in &headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let problem = "the name of a header has only ASCII letters, digits and - (RFC 9110, 5.1)";
            wrong(&format!("headers.{name}"), None, problem, part);
        }
        refuse_secret(&format!("headers.{name}"), plain_secret(name, value), part);
    }
    let url = url(members.url, part);
    let body = body(members.json, members.form.map(|form| pairs(form).collect()), part);
    let success = success(members.success, part);
    let body = body?;
    let method = match members.method {
        Some(method) => method.trim().to_ascii_uppercase(),
        None => if body == HttpBody::Empty { "GET" } else { "POST" }.to_owned(),
    };
    Some(HttpGatewaySettings {
        method,
        url: url?,
        headers,
        body,
        success,
        channels: members.channels.unwrap_or_else(|| vec![Channel::Sms]),
        username: variables.http_gateway_username.clone(),
        password: variables.http_gateway_password.clone(),
        token: variables.http_gateway_token.clone(),
    })
}

fn refuse_secret(name: &str, problem: Option<&'static str>, part: &mut Part<'_>) {
    if let Some(problem) = problem {
        wrong(name, None, problem, part);
    }
}

fn url(given: Option<String>, part: &mut Part<'_>) -> Option<String> {
    let Some(url) = given else {
        let problem = "it is missing: say where messages go, such as \"https://sms.example.com/send\"";
        wrong("url", None, problem, part);
        return None;
    };
    refuse_secret("url", secret_in_url(&url), part);
    // A URL itself could not have the braces of placeholders.
    let place = url.split(['?', '#']).next().unwrap_or_default().replace(['{', '}'], "x");
    if is_exposed(&place) {
        part.report.warn(format!(
            "http-gateway.url begins with http: credentials and codes travel unencrypted; given by {}",
            part.origin
        ));
    }
    Some(url)
}

fn body(json: Option<Value>, form: Option<Vec<(String, String)>>, part: &mut Part<'_>) -> Option<HttpBody> {
    Some(match (json, form) {
        (Some(_), Some(_)) => {
            let problem = "\"form\" is given as well, and a message has one body. Remove one of them";
            wrong("json", None, problem, part);
            return None;
        }
        (Some(json), None) => {
            for (path, name, text) in leaves(&json, "json", "") {
                refuse_secret(&path, plain_secret(name, &text), part);
            }
            HttpBody::Json(json)
        }
        (None, Some(form)) => {
            for (name, value) in &form {
                refuse_secret(&format!("form.{name}"), plain_secret(name, value), part);
            }
            HttpBody::Form(form)
        }
        (None, None) => HttpBody::Empty,
    })
}

fn success(given: Success, part: &mut Part<'_>) -> HttpSuccess {
    let Success { statuses, json, equals, contains, message_id, bad_number, retry } = given;
    let wrong = |name: &str, given: Option<String>, problem: &str, part: &mut Part<'_>| {
        wrong(&format!("success.{name}"), given, problem, part);
    };
    let number = |status: &String| status.trim().parse().ok().filter(|number| (200..=599).contains(number));
    if let Some(status) = statuses.iter().find(|status| number(status).is_none()) {
        wrong("statuses", Some(quoted(status)), "an HTTP status is a number from 200 to 599", part);
    }
    if json.is_none() && !equals.is_empty() {
        let problem = "it lists values at the place that \"json\" points to, and there is no \"json\"";
        wrong("equals", None, problem, part);
    }
    HttpSuccess {
        statuses: statuses.iter().filter_map(number).collect(),
        json: json.map(|place| (place, equals)),
        contains: contains.filter(|text| !text.is_empty()),
        message_id,
        bad_number,
        retry,
    }
}

/// Advice about a credential that was written into the description.
const ELSEWHERE: &str = "this looks like a credential, and credentials do not belong in a configuration. Put {token}, \
     {username} or {password} in its place, and set HTTP_GATEWAY_TOKEN, HTTP_GATEWAY_USERNAME or \
     HTTP_GATEWAY_PASSWORD in the environment or .env";

/// The problem with a value that should be a placeholder, by the name of its field.
fn plain_secret(name: &str, value: &str) -> Option<&'static str> {
    /// Names of credentials end with one of these. Only letters count.
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
    let behind_scheme = url.split("://").nth(1).unwrap_or_default();
    if behind_scheme.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Some(
            "a user name or password in a URL is not sent. Use a header such as Authorization with {username} and {password}",
        );
    }
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| plain_secret(&name, &value))
}

/// The texts and numbers of a JSON body, each with its path and the name of its field.
fn leaves<'a>(json: &'a Value, path: &str, name: &'a str) -> Vec<(String, &'a str, String)> {
    match json {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| leaves(value, &format!("{path}.{name}"), name)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| leaves(item, path, name)).collect(),
        leaf => text_of(leaf).map(|text| (path.to_owned(), name, text)).into_iter().collect(),
    }
}
