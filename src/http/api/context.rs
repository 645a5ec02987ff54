//! One request below `/v2`: who sent it, its path, its parameters, what its handler needs, and lists in pages.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use schemars::JsonSchema;

use super::error::{Cause, Error};
use super::paging::{Listed, Page};
use super::params::{Fields, Frame, Parameters, Url};
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::http::call::Call;
use crate::http::request::LocalUser;
use crate::http::response::Problem;
use crate::http::route::{Access, Content, Operation, Success, schema};
use crate::node::Running;
use crate::registry::audit::Author;
use crate::registry::{Caller, Registry, Scope, Service};
use crate::verification::numbers::Refusal;

/// A request whose sender is known, and may use the route.
pub struct Request {
    pub call: Call,
    pub running: Arc<Running>,
    /// Its parameters: of the body of a `POST`, else of the query.
    pub fields: Fields,
    pub caller: Caller,
    service: Option<Arc<Service>>,
}

/// A request, and its parameters.
pub struct Given<P>(pub Request, pub P);

/// A request below a service, and its parameters.
pub struct InService<P = ()>(pub Request, pub Arc<Service>, pub P);

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

/// The server behind the routes below `/v2`.
///
/// # Errors
/// It is not loaded. The command line is told why.
pub fn running(call: &Call) -> Result<&Arc<Running>, Error> {
    call.app.running().map_err(|refusal| match call.head.extensions.get::<LocalUser>() {
        None => refusal.into(),
        Some(_) => Error::stands_by(&call.app.why_not_ready()),
    })
}

impl<S: Sync> FromRequestParts<S> for Request {
    type Rejection = Error;

    /// The body is not read before the caller is known and allowed. If the path begins with a service, the caller may know
    /// that service.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let call = Call::from_request_parts(parts, state).await?;
        let running = Arc::clone(running(&call)?);
        let caller = call.caller()?;
        let (access, operation) = call.operation.ok_or(Problem::NotFound)?;
        check_access(&caller, access)?;
        if operation.is_long {
            let permit = Arc::clone(&call.app.lists).try_acquire_owned();
            *call.permit.lock() = Some(permit.map_err(|_| Problem::Refused(Refusal::Overloaded))?);
        }
        let fields = if call.head.method == Method::POST {
            let content_type = call.head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
            Fields::of_body(content_type, &call.body()?)?
        } else {
            Fields::of_form(call.query().as_bytes())
        };
        let mut request = Self { call, running, fields, caller, service: None };
        if request.call.param("ServiceSid").is_some() {
            request.service = Some(request.service("ServiceSid")?);
        }
        Ok(request)
    }
}

impl<S: Sync, P: Parameters> FromRequestParts<S> for Given<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let request = Request::from_request_parts(parts, state).await?;
        if request.call.head.method == Method::POST {
            request.fields.refuse_not_served()?;
        }
        let params = P::read(&request.fields)?;
        Ok(Self(request, params))
    }
}

impl<S: Sync, P: Parameters> FromRequestParts<S> for InService<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Given(mut request, params) = Given::from_request_parts(parts, state).await?;
        let service = request.service.take().ok_or(Error::NotFound)?;
        Ok(Self(request, service, params))
    }
}

/// An extractor, and the parameters that it reads.
pub trait Reads {
    type Params: Parameters;
}

impl Reads for Request {
    type Params = ();
}

impl<P: Parameters> Reads for Given<P> {
    type Params = P;
}

impl<P: Parameters> Reads for InService<P> {
    type Params = P;
}

/// What a handler answers, as its signature has it.
pub trait Describe {
    const SUCCESS: Success;
}

impl<T: JsonSchema> Describe for Json<T> {
    const SUCCESS: Success = Success::json::<T>("The resource.");
}

impl<T: JsonSchema> Describe for (StatusCode, Json<T>) {
    const SUCCESS: Success = Success::made::<T>();
}

impl Describe for StatusCode {
    const SUCCESS: Success = Success::GONE;
}

/// Describes a route by the signature of its handler, its name for generated clients, and its purpose.
pub fn operation<E: Reads, F: Future<Output = Result<A, Error>>, A: Describe>(
    _handler: impl Fn(E) -> F,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(id, summary, A::SUCCESS).reads(E::Params::describe)
}

/// The same for one that answers with pages of a list under `key`.
pub fn listing<E: Reads, F: Future<Output = Answer<Listed<T>>>, T: JsonSchema>(
    _handler: impl Fn(E) -> F,
    key: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    let pages = Content::List(schema::<T>, key, None);
    Operation::new(id, summary, Success::ok("A page of the list.", pages)).reads(E::Params::describe)
}

fn check_access(caller: &Caller, access: Access) -> Result<(), Error> {
    let may = |scope| match caller.service() {
        Some(own) => caller.may(scope, own),
        None => caller.may_everywhere(scope),
    };
    let lacks = match access {
        Access::Scope(scope) if !may(scope) => format!("the key lacks the scope {}", scope.as_str()),
        Access::AnyScope if !may(Scope::Admin) && !may(Scope::Verify) => {
            "the key has neither the scope admin nor verify".to_owned()
        }
        Access::Account(what) if !caller.may_everywhere(Scope::Admin) => {
            format!("{what} needs the account's credentials, or a key for all services with the scope admin")
        }
        Access::Open | Access::Compatible | Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
            return Ok(());
        }
    };
    Err(Error::forbidden(lacks))
}

impl Request {
    pub fn path(&self) -> &str {
        self.call.head.uri.path()
    }

    pub fn now(&self) -> Timestamp {
        self.running.verifier.now()
    }

    /// What views are made with.
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            base: self.call.app.base(&self.call.head).into(),
            account: self.running.registry.account_sid(),
        }
    }

    /// The requested page of the list. Addresses of pages repeat the parameters with these names.
    pub fn page(&self, filters: &[&str]) -> Result<Page, Error> {
        let Url(list) = self.frame().url(self.path().strip_prefix("/v2").unwrap_or(self.path()));
        // All that is made within this millisecond is before its end.
        Page::read(&self.fields, filters, &list, self.now().plus(Duration::from_millis(1)))
    }

    /// The requested page of all items.
    pub fn list<T, V>(
        &self,
        key: &'static str,
        all: impl Iterator<Item = T>,
        view: impl Fn(&Frame<'_>, T) -> V,
    ) -> Answer<Listed<V>> {
        let (page, frame) = (self.page(&[])?, self.frame());
        Ok(Json(page.of(key, all.skip(page.skip()), |item| view(&frame, item))))
    }

    /// Checks that the server sends by these channels, which the parameter names.
    pub fn check_served(&self, name: &str, channels: &[Channel]) -> Result<(), Error> {
        let served = &self.call.app.channels;
        channels.iter().find(|channel| !served.contains(channel)).map_or(Ok(()), |off| {
            let detail = format_args!("`{name}`: {} is not served here", off.as_str());
            Err(Error::caused(Cause::CHANNEL_OFF, detail))
        })
    }

    /// A variable segment of the path, percent-decoded.
    pub fn param(&self, name: &str) -> Result<&str, Error> {
        self.call.param(name).ok_or(Error::NotFound)
    }

    /// An id in the path.
    pub fn sid(&self, name: &str, kind: SidKind) -> Result<Sid, Error> {
        Sid::parse(kind, self.param(name)?).ok_or(Error::NotFound)
    }

    pub fn number(&self, name: &str) -> Result<PhoneNumber, Error> {
        PhoneNumber::parse(self.param(name)?, None).map_err(|_| Error::NotFound)
    }

    /// The service in a segment of the path, if the caller may know it.
    pub fn service(&self, name: &str) -> Result<Arc<Service>, Error> {
        let service = self.running.registry.service(&self.sid(name, SidKind::Service)?)?;
        if self.caller.service().is_some_and(|own| own != service.id) {
            return Err(Error::NotFound);
        }
        Ok(service)
    }

    /// The registry, for changes on behalf of the caller.
    pub fn registry(&self) -> Registry {
        self.running.registry.on_behalf_of(self.author())
    }

    /// The caller in the audit log.
    pub fn author(&self) -> Author {
        self.running.registry.author(self.caller.actor(), Some(self.call.request_id()))
    }

    /// The id of the service with this number, unless it is gone.
    pub fn service_sid(&self, id: ServiceId) -> Option<Sid> {
        self.running.registry.service_by_id(id).map(|service| service.sid)
    }
}
