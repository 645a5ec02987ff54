//! `/v2/Services`, and below them `MessagingConfigurations`: which gateway sends to which country.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::context::{Failure, Request, RequestContext};
use super::error::Error;
use super::params::{
    Count, Country, Fields, Id, MessagingServiceSid, Param, Parameter as _, Parameters, parameters,
};
use super::view::{MessagingConfigurationView, ServiceView};
use crate::config::services::{ServiceParameter, service_parameters};
use crate::http::response::Response;
use crate::registry::Service;

/// The key of the one setting that a new service needs.
const NAME: &str = "friendly-name";

/// What Twilio reads here and this server does not.
const NOT_SERVED: [&str; 15] = [
    "Push.IncludeDate",
    "Push.ApnCredentialSid",
    "Push.FcmCredentialSid",
    "Totp.Issuer",
    "Totp.TimeStep",
    "Totp.CodeLength",
    "Totp.Skew",
    "Whatsapp.MsgServiceSid",
    "Whatsapp.From",
    "Passkeys.RelyingParty.Id",
    "Passkeys.RelyingParty.Name",
    "Passkeys.RelyingParty.Origins",
    "Passkeys.AuthenticatorAttachment",
    "Passkeys.DiscoverableCredentials",
    "Passkeys.UserVerification",
];

/// The settings of a new service, by their keys.
pub struct New(Map<String, Value>);

/// Changed settings of a service, by their keys.
pub struct Changed(Map<String, Value>);

impl Parameters for New {
    const NAMES: &'static [&'static str] = &[];

    fn read(fields: &Fields) -> Result<Self, Error> {
        let given = given(fields)?;
        if given.contains_key(NAME) { Ok(Self(given)) } else { Err(Error::missing("FriendlyName")) }
    }

    fn describe() -> Vec<Param> {
        describe(true)
    }
}

impl Parameters for Changed {
    const NAMES: &'static [&'static str] = &[];

    fn read(fields: &Fields) -> Result<Self, Error> {
        given(fields).map(Self)
    }

    fn describe() -> Vec<Param> {
        describe(false)
    }
}

/// Of a new service its name is required.
fn describe(is_new: bool) -> Vec<Param> {
    let parameter = |parameter: &ServiceParameter| {
        let mut schema = parameter.schema.clone();
        let example = schema["example"].take();
        schema["description"] = parameter.description.clone().into();
        let required = is_new && parameter.key == NAME;
        let mut in_json = schema.clone();
        if required {
            for schema in [&mut schema, &mut in_json] {
                schema["minLength"] = 1.into();
            }
        } else {
            in_json["type"] = json!([schema["type"], "null"]);
            if let Some(words) = in_json["enum"].as_array_mut() {
                words.push(Value::Null);
            }
        }
        let read = |mut schema: Value| {
            schema.as_object_mut()?.retain(|_, value| !value.is_null());
            serde_json::from_value(schema).ok()
        };
        let (name, about) = (parameter.name.clone(), parameter.description.clone());
        Some(Param { name, required, about, example, schema: read(schema)?, json_schema: read(in_json)? })
    };
    let mut parameters: Vec<Param> = service_parameters().iter().filter_map(parameter).collect();
    parameters.sort_by_key(|parameter| parameter.name != "FriendlyName");
    parameters
}

/// `GET /v2/Services`: the newest first; for a key of one service, that one.
pub fn list(request: &Request<'_>) -> Result<Response, Failure> {
    let page = request.page()?;
    let registry = &request.v2.registry;
    let frame = request.frame();
    let view = |service: &Arc<Service>| ServiceView::new(&frame, service);
    let listed = if let Some(own) = request.own_service() {
        page.of(registry.service_by_id(own).iter(), view)
    } else {
        let services = registry.services(page.skip(), page.limit() + 1);
        let shown = services.iter().take(page.limit()).map(view).collect();
        (page, shown, services.len() > page.limit())
    };
    Ok(request.listed("services", listed, &[]))
}

pub async fn create(request: &Request<'_, New>) -> Result<Response, Failure> {
    let New(settings) = request.read()?;
    let made = request.v2.registry.create_service(settings).await?;
    Ok(Response::created(&ServiceView::new(&request.frame(), &made)))
}

pub fn fetch(request: &Request<'_>) -> Result<Response, Failure> {
    Ok(Response::ok(&ServiceView::new(&request.frame(), &*request.service()?)))
}

pub async fn update(request: &Request<'_, Changed>) -> Result<Response, Failure> {
    let service = request.service()?;
    let Changed(settings) = request.read()?;
    let changed = request.v2.registry.update_service(service.sid, settings).await?;
    Ok(Response::ok(&ServiceView::new(&request.frame(), &changed)))
}

pub async fn delete(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?;
    request.v2.registry.delete_service(service.sid).await?;
    Ok(Response::empty())
}

/// The given parameters as members of the settings.
fn given(fields: &Fields) -> Result<Map<String, Value>, Error> {
    fields.refuse(&NOT_SERVED)?;
    let mut given = Map::new();
    for parameter in service_parameters() {
        let name = &parameter.name;
        let value = match parameter.schema["type"].as_str() {
            Some("boolean") => bool::find(fields, name)?.map(Value::from),
            Some("integer") => {
                Count::<0, { u32::MAX }>::find(fields, name)?.map(|Count(number)| number.into())
            }
            _ => match fields.only(name)?.and_then(Value::as_str) {
                Some("") => parameter.is_removable.then_some(Value::Null),
                _ => fields.text(name)?.map(Value::from),
            },
        };
        // A bare number may be minutes in config.json.
        let in_seconds = |value: Value| match value {
            Value::Number(number) => format!("{number}s").into(),
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{text}s").into()
            }
            other => other,
        };
        let value = if parameter.is_time { value.map(in_seconds) } else { value };
        given.extend(value.map(|value| (parameter.key.clone(), value)));
    }
    Ok(given)
}

parameters! {
    /// A new messaging configuration.
    pub struct NewMessaging {
        /// Two letters of ISO 3166-1.
        "Country" = "DE" => country: Country,
        /// The gateway; a wrong one is answered with all that there are.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

parameters! {
    /// A change of one.
    pub struct ChangedMessaging {
        /// The gateway; a wrong one is answered with all that there are.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

pub fn list_messaging(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?;
    request.list("messaging_configurations", service.messaging.iter(), |frame, configuration| {
        MessagingConfigurationView::new(frame, service.sid, configuration)
    })
}

pub async fn create_messaging(request: &Request<'_, NewMessaging>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let NewMessaging { country: Country(country), gateway: Id(gateway) } = request.read()?;
    let made = request.v2.registry.create_messaging(service, country, gateway).await?;
    Ok(Response::created(&MessagingConfigurationView::new(&request.frame(), service, &made)))
}

pub fn fetch_messaging(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?;
    let found = service.messaging(&country(request)?)?;
    Ok(Response::ok(&MessagingConfigurationView::new(&request.frame(), service.sid, found)))
}

pub async fn update_messaging(request: &Request<'_, ChangedMessaging>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let country = country(request)?;
    let ChangedMessaging { gateway: Id(gateway) } = request.read()?;
    let changed = request.v2.registry.update_messaging(service, country, gateway).await?;
    Ok(Response::ok(&MessagingConfigurationView::new(&request.frame(), service, &changed)))
}

pub async fn delete_messaging(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let country = country(request)?;
    request.v2.registry.delete_messaging(service, country).await?;
    Ok(Response::empty())
}

fn country(request: &RequestContext<'_>) -> Result<String, Failure> {
    request.behind("MessagingConfigurations").map(Cow::into_owned)
}
