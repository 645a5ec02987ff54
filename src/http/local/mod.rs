//! Routes that exist only at the control socket, beside all others: they are for the administrator of this machine, and the
//! command line uses them.

pub mod answers;
mod keys;

use super::api::context::Request;
use super::api::error::Error;
use super::api::params::Parameter as _;
use super::api::webhooks::WebhookView;
use super::call::Call;
use super::route::{Access, ApiGroup, ApiRouter, Operation};
use crate::delivery::Trial;
use crate::delivery::attempts::{AttemptQuery, StatusFilter};
use crate::domain::{AttemptId, Channel, Code, CodeLength, GatewayName, PhoneNumber, ServiceId, Timestamp};
use crate::limits::guard::operator::{masked, refusals_in_words};
use crate::limits::guard::{ClientSignals, Exemption};
use crate::registry::{RegistryError, Service};
use crate::verification::numbers::{NumberKey, Outgoing};
use crate::verification::verify::{BeginRequest, CarryCode, Cleared, Erasure, NumberStatus};
use axum::Json;
use axum::response::IntoResponse;
use hyper::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

use self::answers::{Erased, KnownNumber, Message, NumberAnswer, ServerAnswer, Tried, Unlocked};
pub use keys::Keys;

/// `GET /local/Server`: which server this is, and what anyone may send without a credential or a budget.
async fn server(call: Call) -> Json<ServerAnswer> {
    let running = call.app.running().ok();
    Json(ServerAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        compatible_routes_need_key: running.map(|running| running.registry.compatible_routes_need_key()),
        without_budget: running.map(|running| running.verifying.without_budget()).unwrap_or_default(),
    })
}

/// `GET /local/Messages`: the newest first.
pub async fn messages(request: Request) -> Result<impl IntoResponse, Error> {
    let found = request.running.verifier.attempts.list(&query(&request)?).await?;
    Ok(Json(found.records.iter().map(Message::from).collect::<Vec<_>>()))
}

fn query(request: &Request) -> Result<AttemptQuery, Error> {
    let fields = &request.fields;
    Ok(AttemptQuery {
        to: PhoneNumber::find(fields, "Number")?,
        services: service(request)?.map(|service| vec![service.id]),
        status: fields.parsed("Status", StatusFilter::accepted(), StatusFilter::parse)?,
        after: Timestamp::find(fields, "Since")?,
        before: Timestamp::find(fields, "Until")?,
        ..AttemptQuery::newest(limit(request)?)
    })
}

/// `POST /local/Gateways/{Name}/Messages`: sends a message through one gateway, perhaps after another, with a code that
/// verifies nothing.
pub async fn try_gateway(request: Request) -> Result<impl IntoResponse, Error> {
    let names = request.fields.text("After")?.into_iter().chain([request.param("Name")?]);
    let delivery = &request.running.delivery;
    let known = |name| {
        let known = delivery.names().find(|known| known.as_str() == name);
        known.ok_or_else(|| {
            let names: Vec<_> = delivery.names().map(GatewayName::as_str).collect();
            Error::invalid(format!("no gateway {name:?} is configured, only {}", names.join(", ")))
        })
    };
    let gateways = names.map(known).collect::<Result<_, _>>()?;
    let trial = Trial { gateways, answer: Arc::default() };
    let to = request.fields.text("To")?.unwrap_or_default();
    let to = PhoneNumber::parse(to, None).map_err(|error| Error::invalid(error.to_string()))?;
    let channel =
        request.fields.parsed("Channel", format_args!("one of {}", Channel::names(", ")), Channel::parse)?;
    // A code that was sent before would count as a repetition.
    let code = Code::from_value(request.running.verifier.now().as_millis() % 1_000_000, CodeLength::SIX);
    let message = Outgoing {
        channel,
        client: ClientSignals { exemption: Exemption::AllowancesAndTypes, ..ClientSignals::default() },
        request_id: Some(request.call.traced_id()),
        ..Outgoing::new(NumberKey::new(ServiceId::DEFAULT, to))
    };
    let carry = CarryCode { trial: Some(trial.clone()), ..CarryCode::new(code, BeginRequest::new(message)) };
    let carried = request.running.verifying.carry(carry).await;
    let Some((key, error)) = trial.answer.get().cloned() else {
        carried?;
        return Err(Error::invalid(format!(
            "{} got no message: it is a test number, or had this code before",
            to.e164()
        )));
    };
    let first = AttemptId { key, attempt: 0 }.to_string();
    Ok((StatusCode::CREATED, Json(Tried { attempts: first.trim_end_matches('0').to_owned(), error })))
}

/// `GET /local/Numbers/{To}`.
pub async fn status(request: Request) -> Result<impl IntoResponse, Error> {
    let (number, (service, name)) = (number(&request)?, service_or_default(&request)?);
    let verifying = &request.running.verifying;
    let refused = request.running.guard.refusals(service, number).await?;
    let refusals = refused.and_then(|refused| refused.last()).map(refusals_in_words);
    let status = verifying.status(service, number).await?;
    let number_text = number.e164();
    Ok(Json(match status {
        None => NumberAnswer::Unknown {
            number: number_text,
            service: name,
            known: false,
            refusals,
            services_with_messages: services_with_messages(&request, number, service).await?,
        },
        Some(NumberStatus { service_sid, service_name, verification, lockout, messages }) => {
            NumberAnswer::Known(Box::new(KnownNumber {
                number: number_text,
                service_sid,
                service_name,
                verification,
                locked_until: lockout.until,
                wrong_codes_in_a_row: lockout.wrong_codes.into(),
                refusals,
                messages: messages.iter().map(Message::from).collect(),
            }))
        }
    }))
}

/// The names of the other services with the latest messages to a number.
async fn services_with_messages(
    request: &Request,
    number: PhoneNumber,
    besides: ServiceId,
) -> Result<BTreeSet<String>, Error> {
    let query = AttemptQuery { to: Some(number), ..AttemptQuery::newest(limit(request)?) };
    let found = request.running.verifier.attempts.list(&query).await?;
    let services = found.records.iter().map(|listed| listed.id.key.service);
    let others = services.filter(|service| *service != besides);
    Ok(others.map(|service| request.running.registry.title_of(service)).collect())
}

/// `DELETE /local/Numbers/{To}/Lockout`: ends the lockout and clears the counts of a number, and says what was there.
pub async fn unlock(request: Request) -> Result<impl IntoResponse, Error> {
    let (number, (service, name)) = (number(&request)?, service_or_default(&request)?);
    let cleared = request.running.verifying.clear(service, number, request.author()).await?;
    let services_with_messages = match cleared {
        Cleared::Unknown => services_with_messages(&request, number, service).await?,
        Cleared::Locked | Cleared::NotLocked => BTreeSet::new(),
    };
    Ok(Json(Unlocked { number: number.e164(), service: name, was: cleared, services_with_messages }))
}

/// `DELETE /local/Numbers/{To}`: erases a number in one service, or in all and on the safe list.
pub async fn erase(request: Request) -> Result<impl IntoResponse, Error> {
    let (number, verifying, by) = (number(&request)?, &request.running.verifying, request.author());
    let erased = match service(&request)? {
        Some(only) => {
            let erased = verifying.erase(only.id, number, by).await;
            erased.map(|erased| (usize::from(erased.has_erased), erased))
        }
        None => verifying.erase_everywhere(number, by).await,
    };
    let (services, Erasure { has_erased, locked_until }) = erased.map_err(RegistryError::from)?;
    Ok(Json(Erased { number: number.e164(), erased: has_erased, services, locked_until }))
}

/// `GET /local/Webhooks`: those of one service, or of all, with the names of their services.
pub async fn webhooks(request: Request) -> Result<impl IntoResponse, Error> {
    let services = match service(&request)? {
        Some(only) => vec![only],
        None => request.running.registry.services(0, usize::MAX),
    };
    let (frame, mut webhooks) = (request.frame(), Vec::new());
    for service in services {
        for webhook in &service.webhooks {
            let mut view = json!(WebhookView::new(&frame, service.sid, webhook));
            view["service_name"] = request.running.registry.title(&service).into();
            webhooks.push(view);
        }
    }
    Ok(Json(webhooks))
}

/// `GET /local/Guard`: what the guard has, and refused lately. Numbers are masked.
pub async fn guard(request: Request) -> Result<impl IntoResponse, Error> {
    let service = service(&request)?.map(|service| service.id);
    Ok(Json(request.running.guard.overview(service, limit(&request)?, masked)))
}

/// `GET /local/WithoutOutcomes`: the services that carry codes and learn of no outcome.
pub async fn without_outcomes(request: Request) -> Result<impl IntoResponse, Error> {
    Ok(Json(request.running.verifying.without_outcomes().await?))
}

/// `GET /local/Services/{Name}`: the id of a service.
pub async fn service_id(request: Request) -> Result<impl IntoResponse, Error> {
    let service = request.running.registry.find_service(request.param("Name")?).map_err(Error::invalid)?;
    Ok(Json(service.sid.to_string()))
}

/// `GET /local/Keys`: the newest first, without their secrets.
pub async fn list_keys(request: Request) -> Result<impl IntoResponse, Error> {
    Ok(Json(keys(&request).list(given(&request, "Service").as_deref()).map_err(Error::invalid)?))
}

/// `POST /local/Keys`: the only answer with the secret.
pub async fn create_key(request: Request) -> Result<impl IntoResponse, Error> {
    let [service, name] = ["Service", "Name"].map(|name| given(&request, name));
    let made = keys(&request).create(service, request.fields.texts("Scope")?, name).await;
    Ok((StatusCode::CREATED, Json(made.map_err(Error::invalid)?)))
}

/// `DELETE /local/Keys/{Sid}`.
pub async fn revoke_key(request: Request) -> Result<impl IntoResponse, Error> {
    let with_created = request.fields.text("WithCreated")?.is_some_and(|text| text == "true");
    let revoked = keys(&request).revoke(request.param("Sid")?, with_created).await;
    Ok(Json(revoked.map_err(Error::invalid)?))
}

/// `POST /local/AuthToken`: replaces the account's auth token.
pub async fn replace_token(request: Request) -> Result<impl IntoResponse, Error> {
    Ok((StatusCode::CREATED, Json(keys(&request).replace_token().await.map_err(Error::invalid)?)))
}

fn keys(request: &Request) -> Keys<'_> {
    Keys { registry: request.registry(), account: &request.running.account }
}

/// A parameter. An empty one is not taken for an absent one, which may mean all services.
fn given(request: &Request, name: &str) -> Option<String> {
    request.fields.given(&[name]).next().map(|(_, text)| text.to_owned())
}

/// The service that the parameter `Service` names; `None` without it.
fn service(request: &Request) -> Result<Option<Arc<Service>>, Error> {
    let Some(name) = given(request, "Service") else { return Ok(None) };
    Ok(Some(request.running.registry.find_service(&name).map_err(Error::invalid)?))
}

/// The same with the name that was given, or the service `default`.
fn service_or_default(request: &Request) -> Result<(ServiceId, String), Error> {
    let name = given(request, "Service").unwrap_or_else(|| ServiceId::DEFAULT_NAME.to_owned());
    Ok((request.running.registry.find_service(&name).map_err(Error::invalid)?.id, name))
}

fn number(request: &Request) -> Result<PhoneNumber, Error> {
    PhoneNumber::parse(request.param("To")?, None).map_err(|error| Error::invalid(error.to_string()))
}

/// The most items of a list; 100 without the parameter `Limit`.
fn limit(request: &Request) -> Result<usize, Error> {
    let limit = request.fields.parsed_scalar("Limit", "a whole number", |text| text.parse().ok())?;
    Ok(limit.unwrap_or(100))
}

/// The routes of the control socket, which no description has. Beside them it has all others.
const GROUP: ApiGroup =
    ApiGroup::twilio("The control socket", "For the command line.", Access::Account("the control socket"));

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP)
        .get("/local/Server", server, Operation::page())
        .get("/local/Services/{Name}", service_id, Operation::page())
        .get("/local/Messages", messages, Operation::page())
        .post("/local/Gateways/{Name}/Messages", try_gateway, Operation::page())
        .get("/local/Numbers/{To}", status, Operation::page())
        .delete("/local/Numbers/{To}", erase, Operation::page())
        .delete("/local/Numbers/{To}/Lockout", unlock, Operation::page())
        .get("/local/Guard", guard, Operation::page())
        .get("/local/WithoutOutcomes", without_outcomes, Operation::page())
        .get("/local/Webhooks", webhooks, Operation::page())
        .get("/local/Keys", list_keys, Operation::page())
        .post("/local/Keys", create_key, Operation::page())
        .delete("/local/Keys/{Sid}", revoke_key, Operation::page())
        .post("/local/AuthToken", replace_token, Operation::page())
}
