//! Twilio Verify's API, version 2: `/v2/..`, served by ourselves. See `docs/api.md`.
//!
//! * `kind`: what is under a path. `ask`: who asks, and for what.
//! * `fields`, `value`: parameters, from a form, JSON or a query. `page`: lists. `view`: what is answered.
//! * `error`: refusals in Twilio's form, one table.
//! * One file for each resource.

mod ask;
mod attempts;
mod auth;
mod base;
mod buckets;
mod check;
mod date;
pub mod deliveries;
mod error;
mod fields;
mod kind;
mod messaging;
pub mod page;
mod rate_limits;
mod safe_list;
mod services;
mod templates;
mod test_numbers;
mod value;
mod verifications;
pub mod view;
mod webhooks;

use std::sync::Arc;

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Method};
use tracing::info;

use self::ask::Ask;
use self::auth::Credential;
use self::fields::Fields;
use super::answer::Answer;
use super::api::Call;
use super::body::RequestBody;
use super::deps::Verify;
use super::problem::Problem;
use super::refusal_log::OncePerSecond;
use crate::domain::{ServiceId, Timestamp};
use crate::numbers::Refusal;
use crate::registry::{Caller, Registry, Scope};
use crate::verify::Verifications;
use crate::webhook::Outbox;

pub use base::Base;
pub use error::Error;
pub use kind::Kind;

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

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Read,
    Write,
    Delete,
}

impl Verb {
    fn of(method: &Method) -> Self {
        match *method {
            Method::POST => Self::Write,
            Method::DELETE => Self::Delete,
            _ => Self::Read,
        }
    }
}

/// Answers a request whose path is of this kind, by a method that the kind allows.
///
/// # Errors
/// What the client is told instead. Nothing of the body has been read when the caller is not known, or may not.
pub async fn answer<V: Verify>(
    call: &Call<'_, V>,
    kind: Kind,
    head: &Head,
    body: &mut RequestBody,
) -> Result<Answer, Error> {
    let deps = call.deps;
    let v2 = deps.v2.get().ok_or(Error::unavailable(Refusal::Stopping))?;
    let caller = v2.caller(&head.headers)?;
    if let Kind::NotServed(what) = kind {
        return Err(Error::not_served(what));
    }
    let ask = Ask::new(v2, head, caller, &deps.channels, call.request_id);
    let verb = Verb::of(&head.method);
    ask.check_scope(kind, verb != Verb::Read, verb == Verb::Delete)?;
    if verb != Verb::Write {
        return read_or_delete(&ask, kind, verb).await;
    }
    let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let bytes = body.read(deps.bounds.body_bytes, deps.bounds.body_timeout).await?;
    let fields = Fields::of_body(content_type, &bytes)?;
    write(&ask, kind, &fields).await
}

async fn read_or_delete(ask: &Ask<'_>, kind: Kind, verb: Verb) -> Result<Answer, Error> {
    match (kind, verb == Verb::Delete) {
        (Kind::Services, false) => services::list(ask),
        (Kind::Service, false) => services::fetch(ask),
        (Kind::Service, true) => services::delete(ask).await,
        (Kind::Verification, false) => verifications::fetch(ask).await,
        (Kind::RateLimits, false) => rate_limits::list(ask),
        (Kind::RateLimit, false) => rate_limits::fetch(ask),
        (Kind::RateLimit, true) => rate_limits::delete(ask).await,
        (Kind::Buckets, false) => buckets::list(ask),
        (Kind::Bucket, false) => buckets::fetch(ask),
        (Kind::Bucket, true) => buckets::delete(ask).await,
        (Kind::MessagingConfigurations, false) => messaging::list(ask),
        (Kind::MessagingConfiguration, false) => messaging::fetch(ask),
        (Kind::MessagingConfiguration, true) => messaging::delete(ask).await,
        (Kind::Webhooks, false) => webhooks::list(ask),
        (Kind::Webhook, false) => webhooks::fetch(ask),
        (Kind::Webhook, true) => webhooks::delete(ask).await,
        (Kind::Deliveries, false) => deliveries::list(ask).await,
        (Kind::TestNumbers, false) => test_numbers::list(ask),
        (Kind::TestNumber, true) => test_numbers::delete(ask).await,
        (Kind::Attempts, false) => attempts::list(ask).await,
        (Kind::Attempt, false) => attempts::fetch(ask).await,
        (Kind::AttemptsSummary, false) => attempts::summary(ask).await,
        (Kind::Templates, false) => templates::list(ask),
        (Kind::SafeNumber, false) => safe_list::fetch(ask),
        (Kind::SafeNumber, true) => safe_list::delete(ask).await,
        // The router has let nothing else through.
        _ => Err(ask.not_found()),
    }
}

async fn write(ask: &Ask<'_>, kind: Kind, fields: &Fields) -> Result<Answer, Error> {
    match kind {
        Kind::Services => services::create(ask, fields).await,
        Kind::Service => services::update(ask, fields).await,
        Kind::Verifications => verifications::create(ask, fields).await,
        Kind::Verification => verifications::update(ask, fields).await,
        Kind::VerificationCheck => check::create(ask, fields).await,
        Kind::RateLimits => rate_limits::create(ask, fields).await,
        Kind::RateLimit => rate_limits::update(ask, fields).await,
        Kind::Buckets => buckets::create(ask, fields).await,
        Kind::Bucket => buckets::update(ask, fields).await,
        Kind::MessagingConfigurations => messaging::create(ask, fields).await,
        Kind::MessagingConfiguration => messaging::update(ask, fields).await,
        Kind::Webhooks => webhooks::create(ask, fields).await,
        Kind::Webhook => webhooks::update(ask, fields).await,
        Kind::Replay => deliveries::replay(ask, fields).await,
        Kind::SafeNumbers => safe_list::create(ask, fields).await,
        Kind::TestNumbers => test_numbers::create(ask, fields).await,
        Kind::Deliveries
        | Kind::TestNumber
        | Kind::Attempts
        | Kind::Attempt
        | Kind::AttemptsSummary
        | Kind::Templates
        | Kind::SafeNumber
        | Kind::NotServed(_)
        | Kind::Unknown => Err(ask.not_found()),
    }
}
