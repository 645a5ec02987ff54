//! Twilio Verify's API, version 2: `/v2/..`, served by ourselves. See `docs/reference/verify-api.md`.
//!
//! * `context`: who asks, and for what; lists in pages. `params`, `types`: parameters and views.
//! * `error`: refusals in Twilio's form, one table.
//! * One file for the resources of a subject.

pub mod account;
pub mod attempts;
pub mod audit;
mod context;
mod error;
pub mod guard;
pub mod hosted;
pub mod limits;
pub mod lockouts;
pub mod lookup;
pub mod messages;
pub mod params;
pub mod services;
mod types;
pub mod verifications;
pub mod webhooks;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Method};
use tracing::info;
use zeroize::Zeroizing;

use self::params::Fields;
use super::hooks::RefusalLog;
use super::local::Local;
use super::request::{self, LocalUser};
use super::response::{Problem, Response};
use super::route::{Access, Found};
use super::service::Call;
use crate::config::HookSettings;
use crate::domain::{ServiceId, Timestamp};
use crate::observe::log_limit::OncePerSecond;
use crate::registry::{Caller, Registry, Scope};
use crate::verification::hosted::HostedSessions;
use crate::verification::numbers::Refusal;
use crate::verification::verify::{Refused, Verifications};
use crate::webhook::Outbox;

pub use context::{Base, Frame, Meta, Paging, Request};
#[cfg(test)]
pub use error::Cause;
pub use error::Error;

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The dependencies of the handlers below `/v2`.
pub struct V2 {
    pub verifications: Arc<dyn Verifications>,
    /// Services, what belongs to them, and credentials.
    pub registry: Registry,
    /// Events and their deliveries.
    pub outbox: Outbox,
    /// The beginning of addresses in responses.
    pub base: Base,
    /// The time of the shards.
    pub now: Now,
    /// The dependencies of the routes of the control socket.
    pub local: Option<Local>,
    pub hosted: Option<HostedSessions>,
    /// The keys by which identity systems sign hooks.
    pub hooks: HookSettings,
    /// The limits on log lines about refused hooks.
    pub refused_hooks: RefusalLog,
    unauthenticated: OncePerSecond,
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
        Self {
            verifications,
            registry,
            outbox,
            base,
            now,
            local: None,
            hosted: None,
            hooks: HookSettings::default(),
            refused_hooks: RefusalLog::default(),
            unauthenticated: OncePerSecond::default(),
        }
    }

    /// The sender of a request. An administrator of this machine needs no credential.
    ///
    /// # Errors
    /// 401. A wrong credential is logged, once a second at most.
    pub fn caller(&self, head: &Head) -> Result<Caller, Problem> {
        if let Some(LocalUser(uid)) = head.extensions.get() {
            return Ok(Caller::User(*uid));
        }
        let credential = Credential::of(&head.headers).ok_or(Problem::Unauthenticated)?;
        self.registry.authenticate(credential.user(), credential.password()).map_err(|_| {
            let user = masked_user(credential.user());
            self.unauthenticated.note(move |count| {
                info!(user, count, "requests with a wrong credential refused");
            });
            Problem::Unauthenticated
        })
    }

    /// Whether a request may use the compatible routes. Where only this machine reaches them and they need no key, the
    /// request must be for a host that a page of another site cannot have: `host_name`, or one of this machine's.
    ///
    /// # Errors
    /// 401 or 403, where they ask for a key, and 403 for another host.
    pub fn admit_compatible(&self, head: &Head, host_name: Option<&str>) -> Result<(), Problem> {
        if !self.registry.compatible_routes_need_key() {
            let is_ours =
                self.registry.allows_unauthenticated() || request::names_this_server(head, host_name);
            return if is_ours { Ok(()) } else { Err(Problem::ForeignHostWithoutKey) };
        }
        let caller = self.caller(head)?;
        if caller.may(Scope::Verify, ServiceId::DEFAULT) { Ok(()) } else { Err(Problem::Forbidden) }
    }

    /// Whether a request may see something of all services: by the account's credentials, or a key for all services
    /// with one of these scopes.
    pub fn admit(&self, head: &Head, scopes: &[Scope]) -> Result<(), Problem> {
        let caller = self.caller(head)?;
        let may = scopes.iter().any(|scope| caller.may_everywhere(*scope));
        if may { Ok(()) } else { Err(Problem::Forbidden) }
    }
}

/// A handler below `/v2`.
type V2Handler = for<'c, 'a> fn(&'c Request<'a>) -> BoxFuture<'c, Result<Response, Error>>;

/// Answers a request at a route. The body is not read before the caller is known and allowed.
pub async fn answer(call: &mut Call<'_>, found: Found, handler: V2Handler) -> Result<Response, Problem> {
    let Some(v2) = call.deps.v2.get() else { return not_loaded(call) };
    let caller = v2.caller(call.head)?;
    Ok(match try_answer(call, v2, caller, found, handler).await {
        Ok(answer) => answer,
        Err(error) => {
            if matches!(error, Error::Refused(Refused::OutOfService { .. })) {
                call.log_out_of_service();
            }
            error.answer(call.head.uri.path(), call.request_id, (v2.now)())
        }
    })
}

async fn try_answer(
    call: &mut Call<'_>,
    v2: &V2,
    caller: Caller,
    (access, route): Found,
    handler: V2Handler,
) -> Result<Response, Error> {
    check_access(&caller, access)?;
    call.body.note_admitted();
    if route.is_long {
        let permit = call.deps.long_answers.acquire(caller.service());
        let too_many = || Error::too_many("Too many long answers are being read. Try again shortly.");
        call.permit = Some(permit.ok_or_else(too_many)?);
    }
    let fields = if call.head.method == Method::POST {
        let content_type = call.head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        Fields::of_body(content_type, &call.read_body().await?)?
    } else {
        Fields::of_form(call.head.uri.query().unwrap_or_default().as_bytes())
    };
    handler(&Request::new(call, v2, caller, fields)?).await
}

fn check_access(caller: &Caller, access: Access) -> Result<(), Error> {
    let may = |scope| match caller.service() {
        Some(own) => caller.may(scope, own),
        None => caller.may_everywhere(scope),
    };
    match access {
        Access::Scope(scope) if !may(scope) => {
            Err(Error::forbidden(format!("the key lacks the scope {}", scope.as_str())))
        }
        Access::AnyScope if !may(Scope::Admin) && !may(Scope::Verify) => {
            Err(Error::forbidden("the key has neither the scope admin nor verify"))
        }
        Access::Account(what) if !caller.may_everywhere(Scope::Admin) => Err(Error::forbidden(format!(
            "{what} needs the account's credentials, or a key for all services with the scope admin"
        ))),
        Access::Open | Access::Compatible | Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
            Ok(())
        }
    }
}

/// Answers a request for what Twilio serves and this server does not.
pub fn not_served(call: &Call<'_>, what: &str) -> Result<Response, Problem> {
    let Some(v2) = call.deps.v2.get() else { return not_loaded(call) };
    v2.caller(call.head)?;
    Ok(Error::not_served(what).answer(call.head.uri.path(), call.request_id, (v2.now)()))
}

/// Answers a request before the store is loaded. The command line is told why.
fn not_loaded(call: &Call<'_>) -> Result<Response, Problem> {
    if call.head.extensions.get::<LocalUser>().is_none() {
        return Err(Problem::Refused(Refusal::Starting));
    }
    let error = Error::stands_by(&call.deps.why_not_ready());
    Ok(error.answer(call.head.uri.path(), call.request_id, Timestamp::EPOCH))
}

/// Longest value of the header that is read: ids and secrets are far shorter.
const LONGEST: usize = 1_024;

/// The user and the password of basic authentication, as they were sent. Has no `Debug`.
struct Credential {
    both: Zeroizing<String>,
    colon: usize,
}

impl Credential {
    /// Reads the header. `None` when it is absent, given twice, or none of this scheme.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = request::only(headers, &AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let both = Zeroizing::new(std::str::from_utf8(&decoded).ok()?.to_owned());
        let colon = both.find(':')?;
        Some(Self { both, colon })
    }

    /// The account's sid, or a key's.
    fn user(&self) -> &str {
        &self.both[..self.colon]
    }

    /// The auth token, or a key's secret.
    fn password(&self) -> &str {
        &self.both[self.colon + 1..]
    }
}

/// A user for the log: the beginning of what looks like an id, and nothing of anything else, which could be a password in
/// the wrong place.
pub fn masked_user(user: &str) -> String {
    let looks_like_an_id = user.len() == 34
        && ["AC", "SK"].iter().any(|prefix| user.starts_with(prefix))
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if looks_like_an_id { format!("{}...", &user[..6]) } else { "no id".to_owned() }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        let credential = Credential::of(&headers)?;
        Some((credential.user().to_owned(), credential.password().to_owned()))
    }

    fn basic(both: &str) -> String {
        format!("Basic {}", STANDARD.encode(both))
    }

    #[test]
    fn a_user_and_a_password_are_read_and_the_password_may_have_colons() {
        assert_eq!(read(&basic("AC1:se:cret")), Some(("AC1".to_owned(), "se:cret".to_owned())));
        assert_eq!(read(&basic("AC1:").replace("Basic", "bASIC")), Some(("AC1".to_owned(), String::new())));
    }

    #[test]
    fn what_is_no_credential_is_not_read() {
        for value in
            ["", "Basic", "Basic !", "Bearer QUMxOng=", &basic("no colon"), &basic(&"x:".repeat(2_000))]
        {
            assert_eq!(read(value), None, "{value:?}");
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(AUTHORIZATION, HeaderValue::from_str(&basic("a:b")).expect("a value"));
        }
        assert!(Credential::of(&twice).is_none());
    }

    #[test]
    fn the_log_shows_the_beginning_of_an_id_and_nothing_else() {
        assert_eq!(masked_user(&format!("SK12345{}", "0".repeat(27))), "SK1234...");
        assert_eq!(masked_user("hunter2"), "no id");
    }
}
