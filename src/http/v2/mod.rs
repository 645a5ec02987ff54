//! Twilio Verify's API, version 2: `/v2/..`, served by ourselves. See `docs/api-v2.md`.
//!
//! * `context`: who asks, and for what. `params`, `types`, `fields`: parameters. `page`: lists. `view`: answers.
//! * `error`: refusals in Twilio's form, one table.
//! * One file for the resources of a subject.

pub mod account;
pub mod attempts;
mod auth;
mod context;
mod error;
mod fields;
pub mod limits;
pub mod page;
pub mod params;
pub mod services;
mod types;
pub mod verifications;
pub mod view;
pub mod webhooks;

use std::sync::Arc;

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Method};
use tracing::info;

use self::auth::Credential;
use self::params::Fields;
use super::answer::Answer;
use super::deps::Verify;
use super::problem::Problem;
use super::request::RequestBody;
use super::route::{Access, V2Handler};
use super::service::Call;
use crate::domain::{ServiceId, Timestamp};
use crate::log_limit::OncePerSecond;
use crate::numbers::Refusal;
use crate::registry::{Caller, Registry, Scope};
use crate::verify::Verifications;
use crate::webhook::Outbox;

pub use context::{Base, Failure, Request, RequestContext};
pub use error::Error;

/// What the time is.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What `/v2` is served with.
pub struct V2 {
    /// Serves verifications.
    pub verifications: Arc<dyn Verifications>,
    /// Services, what belongs to them, and who may ask.
    pub registry: Registry,
    /// What webhooks are told.
    pub outbox: Outbox,
    /// What addresses in answers begin with.
    pub base: Base,
    /// The time of the shards.
    pub now: Now,
    strangers: OncePerSecond,
}

impl V2 {
    /// Serves with these parts.
    pub fn new(
        verifications: Arc<dyn Verifications>,
        registry: Registry,
        outbox: Outbox,
        base: Base,
        now: Now,
    ) -> Self {
        Self { verifications, registry, outbox, base, now, strangers: OncePerSecond::default() }
    }

    /// Who asks.
    ///
    /// # Errors
    /// 401. A wrong credential is logged, once a second at most.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let credential = Credential::of(headers).ok_or(Problem::Unauthenticated)?;
        self.registry.authenticate(credential.user(), credential.password()).map_err(|_| {
            let user = credential.masked_user();
            self.strangers.note(move |count| {
                info!(
                    user,
                    count, "requests with a wrong credential were refused; the user is of the first one"
                );
            });
            Problem::Unauthenticated
        })
    }

    /// Whether a request may use the compatible routes.
    ///
    /// # Errors
    /// 401 or 403, where they ask for a key.
    pub fn admit_compatible(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.registry.compatible_routes_need_key() {
            return Ok(());
        }
        let caller = self.caller(headers)?;
        if caller.may(Scope::Verify, ServiceId::DEFAULT) { Ok(()) } else { Err(Problem::Forbidden) }
    }
}

/// Answers a request by a method that its resource has.
///
/// # Errors
/// What the client is told instead. Nothing of the body has been read when the caller is not known, or may not.
pub async fn answer<V: Verify>(
    call: &Call<'_, V>,
    (access, handler): (Access, V2Handler),
    head: &Head,
    body: &mut RequestBody,
) -> Result<Answer, Error> {
    let deps = call.deps;
    let (v2, caller) = authenticated(call, head)?;
    let mut request = RequestContext::new(v2, head, caller, &deps.channels, call.request_id);
    request.check_access(access)?;
    if head.method == Method::POST {
        let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        let bytes = body.read(deps.bounds.body_bytes, deps.bounds.body_timeout).await?;
        request.fields = Fields::of_body(content_type, &bytes)?;
    }
    handler(&request).await.map_err(|failure| request.explain(failure))
}

/// Answers a request for what Twilio serves and this server does not.
pub fn not_served<V: Verify>(call: &Call<'_, V>, what: &str, head: &Head) -> Error {
    match authenticated(call, head) {
        Ok(_) => Error::not_served(what),
        Err(error) => error,
    }
}

fn authenticated<'a, V: Verify>(call: &Call<'a, V>, head: &Head) -> Result<(&'a V2, Caller), Error> {
    let v2 = call.deps.v2.get().ok_or(Error::unavailable(Refusal::Stopping))?;
    Ok((v2, v2.caller(&head.headers)?))
}
