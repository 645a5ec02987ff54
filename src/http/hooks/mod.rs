//! Hooks of identity systems: each takes a code that its system has made, in that system's form, and carries it.
//! `systems` has them all, with their payloads, signatures and answers.

mod systems;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use sha2::Sha256;
use tracing::warn;

use self::systems::{Done, HOOKS, Hook, Proof, Signed, TOLERANCE, Task, carry, outcome, payload};
use super::app::App;
use super::call::Call;
use super::error::{Cause, Error};
use super::response::{self, NotServed, ResponseExt as _};
use crate::config::HookKey;
use crate::domain::Timestamp;
use crate::registry::{Registry, Scope, Service};

/// Answers in the form of the system, and notes for metrics and the log why not.
async fn answer(call: Call, hook: &'static Hook) -> Response {
    let done = carry_out(&call, hook).await;
    let (status, body) = (hook.answer)(&done);
    let answer = response::json(status, &body);
    let Err(Error { status, code, cause, .. }) = done else { return answer };
    if let Cause::Body(reason) = cause {
        let (request_id, hook) = (call.request_id().to_owned(), hook.path.trim_start_matches("/hooks/"));
        call.connection.server.logs.note(hook, move |count| {
            warn!(request_id, hook, %reason, count, "hook refused");
        });
    }
    match NotServed::of(status, code) {
        Some(reason) => answer.because(reason),
        None => answer,
    }
}

async fn carry_out(call: &Call, hook: &Hook) -> Done {
    if let Some(unread) = &call.unread {
        return Err(unread.clone());
    }
    let running = call.app.running()?;
    let service = match hook.proof {
        Proof::Key => keyed(call, &running.registry)?,
        Proof::Signature(signed) => {
            signer(&running.registry, &signed(&call.head.headers, &call.body, &call.app.settings.hooks))?
        }
    };
    let payload = payload(&call.body)?;
    match (hook.read)(&payload)? {
        Task::Carry(message) => carry(call, running, &service, &message, hook.within).await,
        Task::Verified(number) => outcome(running, &service, number).await.map(|()| None),
        Task::Nothing => Ok(None),
    }
}

/// The service of the API key in the header Authorization. A key for all services is for the default one.
///
/// # Errors
/// 401 or 403.
fn keyed(call: &Call, registry: &Registry) -> Result<Arc<Service>, Error> {
    let caller = call.sender(&call.head.headers)?;
    let own = caller.service().and_then(|own| registry.service_by_id(own));
    let service = own.unwrap_or_else(|| registry.default_service());
    if !caller.may(Scope::Messages, service.id) {
        return Err(Error {
            status: StatusCode::FORBIDDEN,
            code: 20403,
            ..Error::hook("The API key lacks the scope messages.")
        });
    }
    Ok(service)
}

/// The service whose key has signed the body.
///
/// # Errors
/// 401 for a wrong signature, and for one that is too old.
fn signer(registry: &Registry, signed: &Signed<'_>) -> Result<Arc<Service>, Error> {
    let Signed { keys, at, bytes, signatures } = signed;
    let is_right = |key: &&HookKey| {
        let mac = Hmac::<Sha256>::new_from_slice(key.expose()).map(|mac| mac.chain_update(bytes));
        mac.is_ok_and(|mac| signatures.iter().any(|given| mac.clone().verify_slice(given).is_ok()))
    };
    let now = registry.wall();
    let at = at.map(|at| Timestamp::from_millis(at.saturating_mul(1_000)));
    let is_fresh = at.is_some_and(|at| now.since(at).max(at.since(now)) <= TOLERANCE);
    let reason = match keys.iter().find(is_right) {
        None if keys.is_empty() => {
            "set SUPABASE_HOOK_SECRETS, ZITADEL_HOOK_KEYS or LOGTO_HOOK_KEYS: the hook has no key"
        }
        None => "no key has made the signature",
        Some(_) if !is_fresh => "the timestamp is missing or too old, or the clock is wrong",
        Some(key) => match registry.find_service_exact(&key.service) {
            Some(service) => return Ok(service),
            None => "the key names no service by its id, its name in config.json, or default",
        },
    };
    let (status, cause) = (StatusCode::UNAUTHORIZED, Cause::Body(reason.into()));
    Err(Error { status, cause, ..Error::hook("The signature is wrong or too old.") })
}

/// Not described: their bodies and answers are those of the systems.
pub fn routes() -> Router<App> {
    HOOKS.iter().fold(Router::new(), |routes, hook| {
        routes.route(hook.path, post(move |call: Call| answer(call, hook)))
    })
}
