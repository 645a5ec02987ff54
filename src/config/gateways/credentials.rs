//! The credentials of the gateway that the configuration describes.

use serde::Deserialize;

use super::super::reader::Reader;
use super::super::value::Given;
use super::http::{self, HttpGateway};
use super::kinds::Password;
use super::offer::Offer;
use crate::domain::GatewayCredential;
use crate::gateway::{HttpBody, HttpGatewaySettings};

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
    let variables = [
        ("HTTP_GATEWAY_USERNAME", "{username}", keys.username),
        ("HTTP_GATEWAY_PASSWORD", "{password}", keys.password),
        ("HTTP_GATEWAY_TOKEN", "{token}", keys.token),
    ];
    for (kept, (variable, place, given)) in credentials.iter_mut().zip(variables) {
        let missing = given.is_absent() && !reader.report.is_about(&[variable]);
        let credential = reader.take(variable, given);
        let wanted = settings.as_ref().is_some_and(|settings| mentions(settings, place));
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
                    format!("it has {place}, and {variable} is missing. Set it in the environment or .env");
                reader.report.problem("http-gateway", problem, origin.clone());
            }
            Some(_) | None => {}
        }
        *kept = credential.map(|credential| GatewayCredential::new(credential.value.0));
    }
    if absent && complete {
        return Offer::Lacking("it needs \"http-gateway\" in config.json".to_owned());
    }
    let [username, password, token] = credentials;
    let settings = settings.filter(|_| complete);
    Offer::unless_broken(settings.map(|settings| HttpGatewaySettings {
        username,
        password,
        token,
        ..settings
    }))
}

/// Whether a placeholder is anywhere.
fn mentions(settings: &HttpGatewaySettings, place: &str) -> bool {
    let of_pair = |(_, value): &(String, String)| value.contains(place);
    settings.url.contains(place)
        || settings.headers.iter().any(of_pair)
        || match &settings.body {
            HttpBody::Empty => false,
            HttpBody::Json(json) => json.to_string().contains(place),
            HttpBody::Form(fields) => fields.iter().any(of_pair),
        }
}
