//! The credentials of the gateway that the configuration describes.

use serde::Deserialize;
use serde_json::Value;

use secrecy::SecretString;

use super::super::reader::Reader;
use super::super::value::Given;
use super::http::{self, HttpGateway};
use super::kinds::Password;
use super::offer::Offer;
use crate::gateway::{HttpBody, HttpGatewaySettings};

pub(super) const VARIABLES: [&str; 3] =
    ["HTTP_GATEWAY_USERNAME", "HTTP_GATEWAY_PASSWORD", "HTTP_GATEWAY_TOKEN"];

/// What the sources say about them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpKeys {
    #[serde(rename = "HTTP_GATEWAY_USERNAME")]
    username: Given<Password>,
    #[serde(rename = "HTTP_GATEWAY_PASSWORD")]
    password: Given<Password>,
    #[serde(rename = "HTTP_GATEWAY_TOKEN")]
    token: Given<Password>,
}

/// The gateway with its credentials.
pub fn offer(
    object: Given<HttpGateway>,
    keys: HttpKeys,
    reader: &mut Reader<'_>,
) -> Offer<HttpGatewaySettings> {
    let absent = object.is_absent();
    let gateway = reader.take("http-gateway", object);
    let origin = gateway.as_ref().map(|gateway| gateway.origin.clone()).unwrap_or_default();
    let settings = gateway.and_then(|gateway| http::settings(gateway.value, &gateway.origin, reader.report));
    let mut credentials = [None, None, None];
    let mut complete = true;
    let mut fillable = true;
    let variables = [
        ("HTTP_GATEWAY_USERNAME", "{username}", keys.username),
        ("HTTP_GATEWAY_PASSWORD", "{password}", keys.password),
        ("HTTP_GATEWAY_TOKEN", "{token}", keys.token),
    ];
    for (kept, (variable, place, given)) in credentials.iter_mut().zip(variables) {
        let missing = given.is_absent() && !reader.report.is_about(&[variable]);
        let credential = reader.take(variable, given);
        let wanted = settings.as_ref().is_some_and(|settings| mentions(settings, place));
        fillable &= credential.is_some() || !wanted;
        match &credential {
            Some(credential) if absent => {
                complete = false;
                let problem =
                    "it belongs to the gateway that \"http-gateway\" describes, and that is missing";
                reader.report.problem(variable, problem, credential.origin.clone());
            }
            Some(credential) if settings.is_some() && !wanted => {
                reader.report.warn(format!(
                    "{variable} is not used: nothing in http-gateway has {place}; given by {}",
                    credential.origin
                ));
            }
            None if wanted && missing => {
                complete = false;
                let problem =
                    format!("it needs {place}, and {variable} is missing. Set it in the environment or .env");
                reader.report.problem("http-gateway", problem, origin.clone());
            }
            Some(_) | None => {}
        }
        *kept = credential.map(|credential| SecretString::from(credential.value.0));
    }
    if absent && complete {
        return Offer::Lacking("it needs \"http-gateway\" in config.json".to_owned());
    }
    let [username, password, token] = credentials;
    let settings = settings.filter(|_| complete);
    let settings = settings.map(|settings| HttpGatewaySettings { username, password, token, ..settings });
    let Some(settings) = settings.filter(|_| fillable) else { return Offer::Broken };
    // Of a member that is wrong nothing else follows.
    if reader.report.is_about_part_of("http-gateway") {
        return Offer::Broken;
    }
    let problems = settings.problems();
    for problem in &problems {
        reader.report.problem(&problem.setting, format!("it {}", problem.problem), origin.clone());
    }
    Offer::unless_broken(Some(settings).filter(|_| problems.is_empty()))
}

/// Whether a credential is put in anywhere: by its own placeholder, or as a part of `{basic}`.
fn mentions(settings: &HttpGatewaySettings, place: &str) -> bool {
    let in_basic = matches!(place, "{username}" | "{password}");
    let has = |text: &str| {
        // Doubled braces stand for themselves.
        let text = text.replace("{{", "").replace("}}", "");
        text.contains(place) || in_basic && text.contains("{basic}")
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
