//! Routes that exist only at the control socket, beside all others: they are for the administrator of this machine, and the
//! command line uses them.

use std::sync::Arc;

use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use hyper::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::access::{Caller, Segments};
use super::app::App;
use super::call::{Access, Group};
use super::error::Error;
use super::form::Form;
use super::service::around;
use super::values;
use crate::delivery::Carried;
use crate::delivery::attempts::{AttemptQuery, ListedAttempt};
use crate::domain::{Code, CodeLength, GatewayName, PhoneNumber, ServiceId, Sid, SidKind};
use crate::gateway::ReceiptStatus;
use crate::limits::guard::ClientSignals;
use crate::limits::guard::operator::refusal_in_words;
use crate::node::{AccountFile, Running};
use crate::registry::{ApiKey, Registry, RegistryError, Scope, Scopes, Service};
use crate::verification::{Erasure, Failure, Outgoing, Refused, Status, VerificationSummary};

/// `GET /local/Messages`: the newest first.
async fn messages(caller: Caller, form: Form) -> Result<impl IntoResponse, Error> {
    let found = caller.running.verifier.attempts.list(&query(&caller, &form)?).await?;
    Ok(Json(found.iter().map(message).collect::<Vec<_>>()))
}

/// One message, with the whole number. `attempt` says which one of which verification, as in callback addresses.
fn message(listed: &ListedAttempt) -> Value {
    let attempt = &listed.attempt;
    json!({
        "time": attempt.at,
        "type": attempt.channel.as_str(),
        "to": listed.number.e164(),
        "gateway": attempt.gateway.as_str(),
        "priority": attempt.priority,
        "send_status": attempt.status.as_str(),
        "verify_status": listed.verify_status.as_str(),
        "verified_at": listed.verified_at(),
        "retry_count": attempt.retries,
        "max_retries_reached": attempt.max_retries_reached,
        "receipt_status": attempt.receipt.map(ReceiptStatus::as_str),
        "message_id": attempt.message_id,
        "error_code": attempt.error_code,
        "said": attempt.said,
        "parts": listed.parts,
        "attempt": listed.id.to_string(),
    })
}

fn query(caller: &Caller, form: &Form) -> Result<AttemptQuery, Error> {
    let time = |name| form.field::<Option<values::Timestamp>>(name);
    Ok(AttemptQuery {
        to: form.field::<Option<values::PhoneNumber>>("Number")?.map(|number| number.0),
        services: service(caller, form)?.map(|service| vec![service.id]),
        status: form.field::<Option<values::Status>>("Status")?.map(|status| status.0),
        after: time("Since")?.map(|since| since.0),
        before: time("Until")?.map(|until| until.0),
        ..AttemptQuery::newest(limit(form)?)
    })
}

/// `POST /local/Gateways/{Name}/Messages`: sends a message through one gateway, with a code that verifies nothing. Says why
/// the gateway did not take it.
async fn try_gateway(
    caller: Caller,
    Segments(name): Segments<String>,
    form: Form,
) -> Result<impl IntoResponse, Error> {
    let delivery = &caller.running.delivery;
    let only_by = delivery.names().find(|known| known.as_str() == name).ok_or_else(|| {
        let names: Vec<_> = delivery.names().map(GatewayName::as_str).collect();
        Error::invalid(format!("no gateway {name:?} is configured, only {}", names.join(", ")))
    })?;
    let to = number(&form.field::<Option<String>>("To")?.unwrap_or_default())?;
    let channel = form.field::<Option<values::Channel>>("Channel")?.map(|channel| channel.0);
    // A code that was sent before would count as a repetition.
    let code = Code::from_value(caller.running.verifier.now().as_millis() % 1_000_000, CodeLength::SIX);
    let message = Outgoing {
        client: ClientSignals { is_exempt: true, ..ClientSignals::default() },
        request_id: Some(caller.origin.id.clone()),
        supplied_code: Some(code),
        carried: Some(Carried { only_by: Some(only_by), ..Carried::default() }),
        ..caller.running.verifier.message(ServiceId::DEFAULT, to, channel)
    };
    let error = match caller.running.verifier.carry(message).await {
        Err(Refused::Failed(Failure::Gateway | Failure::NoAnswerInTime | Failure::TimedOutWaiting)) => {
            Some(delivery.last_error(only_by).unwrap_or_default())
        }
        carried => {
            let carried = caller.done(carried)?;
            if carried.sid.is_none() || carried.is_repeated {
                let to = to.e164();
                return Err(Error::invalid(format!(
                    "{to} got no message: it is a test number, or had this code before"
                )));
            }
            None
        }
    };
    Ok((StatusCode::CREATED, Json(json!({ "error": error }))))
}

/// `GET /local/Numbers/{To}`: what the service knows of a number, or each service that knows it.
async fn status(
    caller: Caller,
    Segments(to): Segments<String>,
    form: Form,
) -> Result<impl IntoResponse, Error> {
    let number = number(&to)?;
    let mut known = Vec::new();
    for service in services(&caller, &form, number).await? {
        known.push(status_in(&caller, &service, number).await?);
    }
    if known.is_empty() {
        known.push(json!({ "number": number.e164(), "service": null, "known": false, "refusals": null }));
    }
    Ok(Json(known))
}

async fn status_in(caller: &Caller, service: &Service, number: PhoneNumber) -> Result<Value, Error> {
    let refusals = caller.running.guard.refusal(service.id, number).map(refusal_in_words);
    let status = caller.running.verifier.status(service, number).await?;
    let verification = |(sid, of): (Sid, VerificationSummary)| {
        json!({
            "sid": sid, "status": Status::of(&of), "begun": of.details.begun, "ends": of.expires,
            "sends": of.details.sends, "wrong_codes": of.details.wrong,
        })
    };
    Ok(match status {
        None => json!({
            "number": number.e164(), "service": service.title(), "known": false, "refusals": refusals,
        }),
        Some(known) => json!({
            "number": number.e164(), "service_sid": service.sid, "service_name": service.title(),
            "verification": known.verification.map(verification), "locked_until": known.lockout.until,
            "wrong_codes_in_a_row": known.lockout.wrong_codes, "refusals": refusals,
            "messages": known.messages.iter().map(message).collect::<Vec<_>>(),
        }),
    })
}

/// `DELETE /local/Numbers/{To}/Lockout`: ends the lockout and clears the counts of a number in the service, or in each one where
/// it has some, and says whether there was something to end.
async fn unlock(
    caller: Caller,
    Segments(to): Segments<String>,
    form: Form,
) -> Result<impl IntoResponse, Error> {
    let (number, Running { verifier, guard, .. }) = (number(&to)?, &*caller.running);
    let (mut ended, asked) = (Vec::new(), service(&caller, &form)?);
    for service in services(&caller, &form, number).await? {
        let lockout = verifier.status(&service, number).await?.map(|known| known.lockout).unwrap_or_default();
        let is_locked = lockout.until.is_some() || lockout.wrong_codes > 0 || guard.knows(service.id, number);
        let unlocked = is_locked && verifier.unlock(&service, number, caller.author()).await?;
        if unlocked || asked.is_some() {
            ended.push(json!({ "number": number.e164(), "service": service.title(), "unlocked": unlocked }));
        }
    }
    if ended.is_empty() {
        ended.push(json!({ "number": number.e164(), "service": null, "unlocked": false }));
    }
    Ok(Json(ended))
}

/// `DELETE /local/Numbers/{To}`: erases a number in one service, or in all and on the safe list.
async fn erase(
    caller: Caller,
    Segments(to): Segments<String>,
    form: Form,
) -> Result<impl IntoResponse, Error> {
    let (number, verifier, by) = (number(&to)?, &caller.running.verifier, caller.author());
    let of = service(&caller, &form)?.map(|only| only.id);
    let erased = verifier.erase(of, number, by).await;
    let Erasure { services, has_erased, locked_until } = erased.map_err(RegistryError::from)?;
    let number = number.e164();
    Ok(Json(
        json!({ "number": number, "erased": has_erased, "services": services, "locked_until": locked_until }),
    ))
}

/// `GET /local/Guard`: what the guard has.
async fn guard(caller: Caller, form: Form) -> Result<impl IntoResponse, Error> {
    let service = service(&caller, &form)?.map(|service| service.id);
    Ok(Json(caller.running.guard.overview(service, limit(&form)?)))
}

/// `GET /local/Results`: what came of each gateway's messages.
async fn results(caller: Caller, form: Form) -> Result<impl IntoResponse, Error> {
    let service = service(&caller, &form)?.map(|service| service.id);
    Ok(Json(caller.running.results(service).await?))
}

/// `GET /local/Services/{Name}`: the id of a service.
async fn service_id(caller: Caller, Segments(name): Segments<String>) -> Result<impl IntoResponse, Error> {
    let service = caller.running.registry.find_service(&name).map_err(Error::invalid)?;
    Ok(Json(service.sid.to_string()))
}

/// `POST /local/Keys`: carries out a [`KeyCommand`].
async fn keys(caller: Caller, form: Form) -> Result<impl IntoResponse, Error> {
    let command = serde_json::from_str(form.first("Command"));
    let command = command.map_err(|error| Error::invalid(error.to_string()))?;
    let keys = Keys { registry: caller.registry(), account: &caller.running.account };
    Ok(Json(keys.answer(command).await.map_err(Error::invalid)?))
}

/// The service that the parameter `Service` names; `None` without it.
fn service(caller: &Caller, form: &Form) -> Result<Option<Arc<Service>>, Error> {
    // An empty one is not taken for an absent one, which may mean all services.
    let Some((_, name)) = form.given(&["Service"]).next() else { return Ok(None) };
    Ok(Some(caller.running.registry.find_service(name).map_err(Error::invalid)?))
}

/// The same, or each service that knows the number.
async fn services(caller: &Caller, form: &Form, number: PhoneNumber) -> Result<Vec<Arc<Service>>, Error> {
    if let Some(asked) = service(caller, form)? {
        return Ok(vec![asked]);
    }
    let known = caller.running.verifier.services_of(number).await?;
    Ok(known.into_iter().filter_map(|id| caller.running.registry.service_by_id(id)).collect())
}

fn number(text: &str) -> Result<PhoneNumber, Error> {
    PhoneNumber::parse(text, None).map_err(|error| Error::invalid(error.to_string()))
}

/// The most items of a list; 100 without the parameter `Limit`.
fn limit(form: &Form) -> Result<usize, Error> {
    let limit = form.field::<Option<values::Whole<0, { u32::MAX }>>>("Limit")?;
    Ok(limit.map_or(100, |limit| limit.0 as usize))
}

/// The routes of the control socket, which no description has. Beside them it has all others.
pub fn routes() -> Router<App> {
    let routes = Router::new()
        .route("/local/Services/{Name}", get(service_id))
        .route("/local/Messages", get(messages))
        .route("/local/Gateways/{Name}/Messages", post(try_gateway))
        .route("/local/Numbers/{To}", get(status).delete(erase))
        .route("/local/Numbers/{To}/Lockout", delete(unlock))
        .route("/local/Guard", get(guard))
        .route("/local/Results", get(results))
        .route("/local/Keys", post(keys));
    around(Group::twilio(Access::Account("the control socket")), routes)
}

// API keys, and the account's auth token. The command line uses [`Keys`] itself where no server runs.

/// What the command line asks of keys.
#[derive(Serialize, Deserialize)]
pub enum KeyCommand {
    /// The newest first, without their secrets.
    List { service: Option<String> },
    /// The only answer with the secret.
    Create { service: Option<String>, scopes: Vec<String>, name: Option<String> },
    /// From now on the server refuses the key.
    Revoke { sid: String },
    /// Replaces the account's auth token.
    ReplaceToken,
}

/// Lists and changes keys, and logs the changes.
pub struct Keys<'a> {
    pub registry: Registry,
    pub account: &'a AccountFile,
}

impl Keys<'_> {
    /// Carries out a command.
    ///
    /// # Errors
    /// In words for a person.
    pub async fn answer(&self, command: KeyCommand) -> Result<Value, String> {
        match command {
            KeyCommand::List { service } => {
                let service = self.service(service.as_deref())?;
                Ok(self.registry.keys(service).iter().map(|key| self.view(key)).collect())
            }
            KeyCommand::Create { service, scopes, name } => self.create(service, scopes, name).await,
            KeyCommand::Revoke { sid } => {
                let sid = Sid::parse(SidKind::ApiKey, &sid)
                    .ok_or("a key is named by its id: SK and 32 hexadecimal digits")?;
                self.revoke(sid).await.map_err(|error| error.to_string())
            }
            KeyCommand::ReplaceToken => self.replace_token().await,
        }
    }

    /// The service is one that [`Registry::find_service`] finds; without one the key is for all.
    pub async fn create(
        &self,
        service: Option<String>,
        scopes: Vec<String>,
        name: Option<String>,
    ) -> Result<Value, String> {
        let service = self.service(service.as_deref())?;
        let scopes: Option<Scopes> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
        let scopes =
            scopes.ok_or_else(|| format!("a scope is {}", Scope::ALL.map(Scope::as_str).join(" or ")))?;
        let was_open = !self.registry.compatible_routes_need_key();
        let made = self.registry.create_key(service, scopes, name).await;
        let made = made.map_err(|error| error.to_string())?;
        let mut view = self.view(&made.key);
        self.log(&made.key, "API key created");
        view["secret"] = made.secret.expose_secret().into();
        if was_open && self.registry.compatible_routes_need_key() {
            tracing::info!("/api/*, /send-code and /verify-code need a key from now on");
            view["closes_routes"] = true.into();
        }
        Ok(view)
    }

    /// From now on the server refuses the key.
    pub async fn revoke(&self, sid: Sid) -> Result<Value, RegistryError> {
        let key = self.registry.revoke_key(sid).await?;
        self.log(&key, "API key revoked");
        Ok(self.view(&key))
    }

    /// Makes a new auth token for the account. The server refuses the old one from then on.
    async fn replace_token(&self) -> Result<Value, String> {
        let made = self.account.renew(&self.registry).await.map_err(|error| error.to_string())?;
        tracing::info!(account = %made.sid, "auth token replaced");
        let file = self.account.path().display().to_string();
        Ok(json!({ "account_sid": made.sid, "auth_token": made.token.expose_secret(), "file": file }))
    }

    fn service(&self, text: Option<&str>) -> Result<Option<ServiceId>, String> {
        text.map(|text| self.registry.find_service(text).map(|service| service.id)).transpose()
    }

    /// A key without its secret. A removed service has no name.
    fn view(&self, key: &ApiKey) -> Value {
        let service = key.service.map(|id| (id, self.registry.service_by_id(id)));
        let service_sid = service.as_ref().map(|(id, service)| match service {
            Some(service) => service.sid.to_string(),
            None => format!("(removed service {})", id.get()),
        });
        json!({
            "sid": key.sid,
            "service_sid": service_sid,
            "service_name": service.and_then(|(_, service)| Some(service?.title())),
            "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
            "name": key.name,
            "created": key.created,
            "last_used": key.last_used,
        })
    }

    fn log(&self, key: &ApiKey, event: &str) {
        let service = match key.service {
            None => "all".to_owned(),
            Some(id) => {
                self.registry.service_by_id(id).map_or("removed".to_owned(), |service| service.name())
            }
        };
        let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
        tracing::info!(key = %key.sid, name = key.name, service, scopes, "{event}");
    }
}
