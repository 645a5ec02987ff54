//! The gateway that the configuration describes: its credentials, which are variables and not written out. What a request
//! or an answer can be is checked by the gateway itself.

use serde_json::Value;

use super::context::Context;
use super::gateways::Variables;
use super::kind::text_of;
use super::values::is_exposed;
use crate::gateway::{HttpBody, HttpGatewaySettings};
use crate::template::placeholder::{PieceKind, pieces};

const KEY: &str = "http-gateway";

/// The settings, if the gateway is described. `None` after an error, too.
pub fn read(
    settings: Option<HttpGatewaySettings>,
    variables: &Variables,
    c: &mut Context,
) -> Option<HttpGatewaySettings> {
    let credentials = [
        ("HTTP_GATEWAY_USERNAME", "username", &variables.http_gateway_username),
        ("HTTP_GATEWAY_PASSWORD", "password", &variables.http_gateway_password),
        ("HTTP_GATEWAY_TOKEN", "token", &variables.http_gateway_token),
    ];
    let Some(mut settings) = settings else {
        for (variable, ..) in credentials.iter().filter(|(.., value)| value.is_some()) {
            let problem = "it belongs to the gateway that \"http-gateway\" describes, and that is missing";
            c.wrong(variable, None, problem);
        }
        return None;
    };
    let before = c.report.error_count();
    settings.complete();
    for (_, place, value) in credentials {
        settings.values.extend(value.clone().map(|value| (place.to_owned(), value)));
    }
    check_secrets(&settings, c);
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
            let path = &problem.setting;
            let given = c.raw.given(path).filter(|_| path.strip_prefix("http-gateway.").is_some_and(is_open));
            c.wrong(path, given, format!("it {}", problem.problem));
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
    has(&settings.url) || texts(settings).iter().any(|(.., text)| has(text))
}

/// Every text of headers and body: its path, the name of its field, and itself.
fn texts(settings: &HttpGatewaySettings) -> Vec<(String, &str, String)> {
    fn fields<'a>(member: &str, fields: &'a [(String, String)]) -> Vec<(String, &'a str, String)> {
        let field =
            |(name, value): &'a (String, String)| (format!("{member}.{name}"), name.as_str(), value.clone());
        fields.iter().map(field).collect()
    }

    let mut all = fields("headers", &settings.headers);
    match &settings.body {
        HttpBody::Empty => {}
        HttpBody::Json(json) => all.extend(leaves(json, "json", "")),
        HttpBody::Form(form) => all.extend(fields("form", form)),
    }
    all
}

/// Whether a member cannot hold a credential.
fn is_open(path: &str) -> bool {
    ["method", "channels", "success"].iter().any(|open| path.starts_with(open))
}

/// Refuses credentials that are written out, and warns of a URL that shows them.
fn check_secrets(settings: &HttpGatewaySettings, c: &mut Context) {
    let url = &settings.url;
    let missing = "it is missing: say where messages go, such as \"https://sms.example.com/send\"";
    let of_url = if url.is_empty() { Some(missing) } else { secret_in_url(url) };
    let others = texts(settings).into_iter().map(|(path, name, text)| (path, plain_secret(name, &text)));
    for (member, problem) in others.chain([("url".to_owned(), of_url)]) {
        if let Some(problem) = problem {
            c.wrong(&format!("{KEY}.{member}"), None, problem);
        }
    }
    // A URL itself could not have the braces of placeholders.
    let place = url.split(['?', '#']).next().unwrap_or_default().replace(['{', '}'], "x");
    if !place.is_empty() && is_exposed(&place) {
        let origin = c.origin(KEY);
        c.report.warn(format!(
            "http-gateway.url begins with http: credentials and codes travel unencrypted; given by {origin}"
        ));
    }
}

/// Advice about a credential that was written into the description.
const ELSEWHERE: &str = "this looks like a credential, and credentials do not belong in a configuration. Put {token}, \
     {username} or {password} in its place, and set HTTP_GATEWAY_TOKEN, HTTP_GATEWAY_USERNAME or \
     HTTP_GATEWAY_PASSWORD in the environment or .env";

/// The problem with a value that should be a placeholder, by the name of its field.
fn plain_secret(name: &str, value: &str) -> Option<&'static str> {
    /// Names of credentials end with one of these. Only letters count.
    const NAMES: &str = "authorization cookie password passwd pass pwd secret apikey token accesskey";
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let named = NAMES.split(' ').any(|secret| name.to_ascii_lowercase().ends_with(secret));
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
