//! Settings and credentials of the custom gateway. The credentials are variables. The gateway itself checks its requests and
//! answers.

use serde_json::Value;
use url::form_urlencoded;

use super::context::Context;
use super::gateways::Variables;
use super::kind::text_of;
use super::values::is_exposed;
use crate::domain::GatewayName;
use crate::gateway::HttpGatewaySettings;

const KEY: &str = "http-gateway";

/// The settings, if there is a custom gateway. `None` after an error, too.
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
    settings.complete();
    for (_, place, value) in credentials {
        settings.values.extend(value.clone().map(|value| (place.to_owned(), value)));
    }
    check_secrets(&settings, c);
    // A URL itself could not have the braces of placeholders.
    let place = settings.url.split(['?', '#']).next().unwrap_or_default().replace(['{', '}'], "x");
    if !place.is_empty() && is_exposed(&place) {
        let origin = c.origin(KEY);
        c.report.warn(format!(
            "http-gateway.url begins with http: credentials and codes travel unencrypted; given by {origin}"
        ));
    }
    // Of a description that is wrong it is not known what it uses.
    let used = settings.examine().unwrap_or_else(|problem| {
        let path = &problem.setting;
        let given = c.raw.given(path).filter(|_| path.strip_prefix("http-gateway.").is_some_and(is_open));
        c.wrong(path, given, format!("it {}", problem.problem));
        credentials.map(|(_, place, _)| place).to_vec()
    });
    for (variable, place, value) in credentials {
        if value.is_some() && !used.contains(&place) {
            let origin = c.origin(variable);
            c.report.warn(format!(
                "{variable} is not used: nothing in http-gateway has {{{place}}}; given by {origin}"
            ));
        }
    }
    Some(settings)
}

/// Every text of headers and body: its path, the name of its field, and itself.
fn texts(settings: &HttpGatewaySettings) -> Vec<(String, &str, String)> {
    fn fields<'a>(member: &str, fields: &'a [(String, String)]) -> Vec<(String, &'a str, String)> {
        let field =
            |(name, value): &'a (String, String)| (format!("{member}.{name}"), name.as_str(), value.clone());
        fields.iter().map(field).collect()
    }

    let mut all = fields("headers", &settings.headers);
    all.extend(settings.json.iter().flat_map(|json| leaves(json, "json", "")));
    all.extend(settings.form.iter().flat_map(|form| fields("form", form)));
    all
}

/// Whether a member cannot hold a credential.
fn is_open(path: &str) -> bool {
    ["method", "channels", "success"].iter().any(|open| path.starts_with(open))
}

/// Refuses credentials that are written out in a description.
pub fn check_secrets(settings: &HttpGatewaySettings, c: &mut Context) {
    let owner = &settings.owner;
    let advice = match owner.gateway {
        GatewayName::Http => {
            "Put {token}, {username} or {password} in its place, and set HTTP_GATEWAY_TOKEN, \
                              HTTP_GATEWAY_USERNAME or HTTP_GATEWAY_PASSWORD in the environment or .env"
                .to_owned()
        }
        _ => format!(
            "Give the recipe a setting with \"secret\": true, such as token, put {{token}} in its place, and set {} in the \
             environment or .env",
            owner.variable("token")
        ),
    };
    let is_plain =
        |name: &str, value: &str| is_named_as_secret(name) && !value.is_empty() && !value.contains('{');
    let mut wrong: Vec<String> = texts(settings)
        .into_iter()
        .filter(|(_, name, text)| is_plain(name, text))
        .map(|(path, ..)| path)
        .collect();
    let account = settings.account.as_ref().map(|account| ("account.url", &account.url));
    for (member, url) in [("url", &settings.url)].into_iter().chain(account) {
        let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, value)| is_plain(&name, &value)) {
            wrong.push(member.to_owned());
        }
    }
    for member in wrong {
        let problem = format!(
            "this looks like a credential, and credentials do not belong in a configuration. {advice}"
        );
        c.wrong(&format!("{}.{member}", owner.path), None, problem);
    }
}

/// Whether a field of this name is a credential.
pub fn is_named_as_secret(name: &str) -> bool {
    /// Names of credentials end with one of these. Only letters count.
    const NAMES: &str = "authorization cookie password passwd pass pwd secret apikey authkey token accesskey";
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    NAMES.split(' ').any(|secret| name.to_ascii_lowercase().ends_with(secret))
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
