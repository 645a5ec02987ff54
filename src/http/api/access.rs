//! One request below `/v2`: who sent it, the service in its path, and what its handler needs.

use std::fmt::Display;
use std::ops::Deref;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde::de::value::{BorrowedStrDeserializer, Error as ValueError, SeqDeserializer, UnitDeserializer};
use tracing::debug;

use crate::domain::{Channel, ServiceId, Sid, SidKind, Timestamp};
use crate::http::app::App;
use crate::http::call::{Access, Origin};
use crate::http::error::Error;
use crate::http::form::Form;
use crate::http::request::{self, IDEMPOTENCY_KEY};
use crate::http::values::{self, AccountSid, Id, Url};
use crate::node::Running;
use crate::registry::audit::Author;
use crate::registry::{self, Registry, Scope, Service};
use crate::verification::{GivenKey, Refused};

/// A sender who is known, and may use the route.
pub struct Caller {
    pub origin: Arc<Origin>,
    pub running: Arc<Running>,
    pub who: registry::Caller,
}

/// A caller below a service, which it may know, with the variable segments of the path behind the service.
pub struct InService<P = ()> {
    caller: Caller,
    pub service: Arc<Service>,
    pub path: P,
}

impl<P> Deref for InService<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// The variable segments of the path but a service: the last one, or a tuple of all. 404 if they cannot be read.
pub struct Segments<P>(pub P);

/// The parameters of a request that may have a key, which makes a repetition harmless.
pub struct Keyed<T> {
    pub params: T,
    /// Without one nothing compares the fingerprint: a hash costs a tenth of a check.
    pub key: Option<GivenKey>,
}

/// The answer with a resource.
pub type Answer<T> = Result<Json<T>, Error>;

/// The answer with a resource that was made.
pub type Made<T> = Result<(StatusCode, Json<T>), Error>;

/// The answer after a deletion.
pub type Gone = Result<StatusCode, Error>;

#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub fn created<T>(view: T) -> Made<T> {
    Ok((StatusCode::CREATED, Json(view)))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        // The layer around each route has put it there.
        let origin: Arc<Origin> = parts.extensions.get().cloned().ok_or(Error::PANICKED)?;
        let running = app.running().map_err(|refusal| {
            if origin.connection.user.is_none() {
                return refusal.into();
            }
            let why = app.why_not_ready();
            Error::STANDS_BY.say(format!("{why}; run the command on the node that owns them"))
        })?;
        let running = Arc::clone(running);
        let who = origin.sender(&parts.headers)?;
        check_access(&who, origin.group.access)?;
        Ok(Self { origin, running, who })
    }
}

impl<P: DeserializeOwned> FromRequestParts<App> for InService<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Error::NO_RESOURCE)?;
        let sid = params.iter().find(|(name, _)| *name == SERVICE);
        let sid = sid.and_then(|(_, text)| Sid::parse(SidKind::Service, text));
        let service = caller.service(sid.ok_or(Error::NO_RESOURCE)?)?;
        Ok(Self { caller, service, path: segments(&params)? })
    }
}

impl<P: DeserializeOwned> FromRequestParts<App> for Segments<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let params = RawPathParams::from_request_parts(parts, app).await;
        segments(&params.map_err(|_| Error::NO_RESOURCE)?).map(Self)
    }
}

const SERVICE: &str = "ServiceSid";

fn segments<P: DeserializeOwned>(params: &RawPathParams) -> Result<P, Error> {
    let texts = || params.iter().filter(|(name, _)| *name != SERVICE).map(|(_, text)| text);
    let segments = || texts().map(BorrowedStrDeserializer::<ValueError>::new);
    let read = match segments().last() {
        None => P::deserialize(UnitDeserializer::<ValueError>::new()),
        Some(last) => P::deserialize(last).or_else(|_| P::deserialize(SeqDeserializer::new(segments()))),
    };
    read.map_err(|_| Error::NO_RESOURCE)
}

impl<T: DeserializeOwned> FromRequest<App> for Keyed<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        let (headers, uri) = (request.headers(), request.uri().clone());
        let key = headers.contains_key(&IDEMPOTENCY_KEY).then(|| {
            let text = request::only(headers, &IDEMPOTENCY_KEY).unwrap_or_default();
            values::IdempotencyKey::deserialize(BorrowedStrDeserializer::<ValueError>::new(text))
        });
        let form = Form::from_request(request, app).await?;
        let params = form.read()?;
        let key = key.transpose().map_err(|_| {
            Error::invalid(
                "Invalid header `Idempotency-Key`: it must be given once, with 1 to 255 visible ASCII characters",
            )
        })?;
        let fingerprint = || form.fingerprint(uri.path(), &["Code", "CustomCode"]);
        let key = key.map(|key| GivenKey { key: key.0, fingerprint: fingerprint() });
        Ok(Self { params, key })
    }
}

fn check_access(caller: &registry::Caller, access: Access) -> Result<(), Error> {
    let (scope, needs) = match access {
        Access::Open | Access::Compatible => return Ok(()),
        Access::Scope(scope) => (scope, format!("the key lacks the scope {}", scope.as_str())),
        Access::Account(what) => {
            let needs = "needs the account's credentials, or a key for all services with the scope admin";
            (Scope::Admin, format!("{what} {needs}"))
        }
    };
    let own = caller.service().filter(|_| matches!(access, Access::Scope(_)));
    let may = own.map_or_else(|| caller.may_everywhere(scope), |own| caller.may(scope, own));
    if may { Ok(()) } else { Err(Error::forbidden(needs)) }
}

impl Caller {
    pub fn now(&self) -> Timestamp {
        self.running.verifier.now()
    }

    /// What needs the account's credentials, or a key for all services with the scope `admin`.
    pub fn needs_account(&self, what: &'static str) -> Result<(), Error> {
        check_access(&self.who, Access::Account(what))
    }

    /// The address of this path.
    pub fn url(&self, path: impl Display) -> Url {
        Url(format!("{}{path}", self.origin.app.base(self.origin.host.as_ref())))
    }

    pub fn account(&self) -> AccountSid {
        Id(self.running.registry.account_sid())
    }

    /// Checks that the server sends by these channels, which the parameter names.
    pub fn check_served(&self, name: &str, channels: &[Channel]) -> Result<(), Error> {
        let served = &self.origin.app.channels;
        channels.iter().find(|channel| !served.contains(channel)).map_or(Ok(()), |off| {
            Err(Error::CHANNEL_OFF.with(format_args!("`{name}`: {} is not served here", off.as_str())))
        })
    }

    /// The service with this id, if the caller may know it.
    pub fn service(&self, sid: Sid) -> Result<Arc<Service>, Error> {
        let service = self.running.registry.service(&sid)?;
        if self.who.service().is_some_and(|own| own != service.id) {
            return Err(Error::NO_RESOURCE);
        }
        Ok(service)
    }

    /// The outcome, or why a verification was not served.
    pub fn done<T>(&self, done: Result<T, Refused>) -> Result<T, Error> {
        done.map_err(|refused| {
            let error = Error::refused(&refused, self.now());
            debug!(request_id = self.origin.request_id(), code = error.code, "verification not served");
            error
        })
    }

    /// The registry, for changes on behalf of the caller.
    pub fn registry(&self) -> Registry {
        self.running.registry.on_behalf_of(self.author())
    }

    /// The caller in the audit log.
    pub fn author(&self) -> Author {
        self.running.registry.author(self.who.actor(), Some(self.origin.request_id()))
    }

    /// The id of the service with this number, unless it is gone.
    pub fn service_sid(&self, id: ServiceId) -> Option<Sid> {
        self.running.registry.service_by_id(id).map(|service| service.sid)
    }
}
