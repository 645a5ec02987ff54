//! `/v2/Services`.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::context::{Failure, RequestContext};
use super::error::Error;
use super::page::Page;
use super::params::{Count, Fields, Param, Parameter as _};
use super::view::ServiceView;
use crate::config::services::{ServiceParameter, service_parameters};
use crate::http::answer::Answer;
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

/// The parameters of a new service.
pub fn describe_new() -> Vec<Param> {
    describe(true)
}

/// The parameters of a change.
pub fn describe_change() -> Vec<Param> {
    describe(false)
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
pub fn list(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let page = Page::read(&request.fields)?;
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

/// `POST /v2/Services`.
pub async fn create(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let given = given(&request.fields)?;
    if !given.contains_key(NAME) {
        return Err(Error::missing("FriendlyName").into());
    }
    let made = request.v2.registry.create_service(given).await?;
    Ok(Answer::json(StatusCode::CREATED, &ServiceView::new(&request.frame(), &made)))
}

/// `GET /v2/Services/{Sid}`.
pub fn fetch(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&request.frame(), &*request.service()?)))
}

/// `POST /v2/Services/{Sid}`.
pub async fn update(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let changed = request.v2.registry.update_service(service.sid, given(&request.fields)?).await?;
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&request.frame(), &changed)))
}

/// `DELETE /v2/Services/{Sid}`.
pub async fn delete(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    request.v2.registry.delete_service(service.sid).await?;
    Ok(Answer::empty())
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
