//! One request below `/v2/`: who asks, for what, and what its handler needs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts as Head;
use tracing::{debug, error, info};

use super::V2;
use super::error::Error;
use super::fields::Fields;
use super::kind::{Kind, Parts};
use super::view::Frame;
use crate::domain::{Channel, ServiceId, Sid, SidKind, Timestamp};
use crate::numbers::Refusal;
use crate::registry::{Caller, RegistryError, Scope, Service};
use crate::verify::Refused;

/// A request whose sender is known.
pub struct Ask<'a> {
    /// What serves it.
    pub v2: &'a V2,
    /// Its path, as it was sent.
    pub path: &'a str,
    /// Its head.
    pub head: &'a Head,
    /// Its query.
    pub query: Fields,
    /// The channels that are served.
    pub channels: &'a [Channel],
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
    parts: Option<Parts<'a>>,
    base: String,
    account: Sid,
    caller: Caller,
}

impl<'a> Ask<'a> {
    /// A request of this caller.
    pub fn new(
        v2: &'a V2,
        head: &'a Head,
        caller: Caller,
        channels: &'a [Channel],
        request_id: &'a str,
    ) -> Self {
        let path = head.uri.path();
        Self {
            v2,
            path,
            head,
            query: Fields::of_query(head.uri.query()),
            channels,
            request_id,
            parts: Parts::of(path),
            base: v2.base.of(head),
            account: v2.registry.account_sid(),
            caller,
        }
    }

    /// What the time is.
    pub fn now(&self) -> Timestamp {
        (self.v2.now)()
    }

    /// The next millisecond, before which everything is that is there now.
    pub fn now_and_a_bit(&self) -> Timestamp {
        self.now().plus(Duration::from_millis(1))
    }

    /// What views are made with.
    pub fn frame(&self) -> Frame<'_> {
        Frame { base: &self.base, account: self.account }
    }

    /// A part of the path below `/v2/`, from 0.
    pub fn part(&self, index: usize) -> Result<Cow<'a, str>, Error> {
        self.parts.and_then(|parts| parts.get(index)).ok_or_else(|| self.not_found())
    }

    /// An id that is a part of the path.
    pub fn sid(&self, index: usize, kind: SidKind) -> Result<Sid, Error> {
        Sid::parse(kind, &self.part(index)?).ok_or_else(|| self.not_found())
    }

    /// Whether the caller may change more than one service.
    pub fn is_for_all_services(&self) -> bool {
        self.caller.may_everywhere(Scope::Admin)
    }

    /// The service in the path, if the caller may know it.
    pub fn service(&self) -> Result<Arc<Service>, Error> {
        let sid = self.sid(1, SidKind::Service)?;
        let service = self.v2.registry.service(&sid).map_err(|error| self.failed(error))?;
        if self.own_service().is_some_and(|own| own != service.id) {
            return Err(self.not_found());
        }
        Ok(service)
    }

    /// The one service that the caller's key is for; `None` for all.
    pub fn own_service(&self) -> Option<ServiceId> {
        self.caller.service()
    }

    /// The number of the service with this id.
    pub fn service_id(&self, sid: &Sid) -> Option<ServiceId> {
        self.v2.registry.service(sid).ok().map(|service| service.id)
    }

    /// The id of the service with this number, unless it is gone.
    pub fn service_sid(&self, id: ServiceId) -> Option<Sid> {
        self.v2.registry.service_by_id(id).map(|service| service.sid)
    }

    /// Whether the caller may do this: `changes` is whether the request is no `GET`.
    pub fn check_scope(&self, kind: Kind, changes: bool, deletes: bool) -> Result<(), Error> {
        let may = |scope| match self.own_service() {
            Some(own) => self.caller.may(scope, own),
            None => self.caller.may_everywhere(scope),
        };
        let (allowed, wanted) = match kind {
            Kind::Services if changes => (
                self.caller.may_everywhere(Scope::Admin),
                "making services needs the account's credentials, or a key for all services with the scope admin",
            ),
            Kind::Service if deletes => (
                self.caller.may_everywhere(Scope::Admin),
                "deleting services needs the account's credentials, or a key for all services with the scope admin",
            ),
            Kind::SafeNumbers | Kind::SafeNumber => (
                self.caller.may_everywhere(Scope::Admin),
                "the safe list needs the account's credentials, or a key for all services with the scope admin",
            ),
            Kind::Verifications
            | Kind::Verification
            | Kind::VerificationCheck
            | Kind::Attempts
            | Kind::Attempt
            | Kind::AttemptsSummary => (may(Scope::Verify), "the key lacks the scope verify"),
            Kind::Services
            | Kind::Service
            | Kind::RateLimits
            | Kind::RateLimit
            | Kind::Buckets
            | Kind::Bucket
            | Kind::MessagingConfigurations
            | Kind::MessagingConfiguration
            | Kind::Webhooks
            | Kind::Webhook
            | Kind::Deliveries
            | Kind::Replay
            | Kind::TestNumbers
            | Kind::TestNumber => (may(Scope::Admin), "the key lacks the scope admin"),
            Kind::Templates => {
                (may(Scope::Admin) || may(Scope::Verify), "the key has neither the scope admin nor verify")
            }
            Kind::NotServed(_) | Kind::Unknown => (true, ""),
        };
        if allowed { Ok(()) } else { Err(Error::forbidden(wanted)) }
    }

    /// There is nothing under this path.
    pub fn not_found(&self) -> Error {
        Error::not_found(self.path)
    }

    /// Why a verification was not served. A provider that fails is logged at info level, so that the id that a user
    /// reports leads to the lines about the provider.
    pub fn refused(&self, refused: Refused) -> Error {
        let request_id = self.request_id;
        if refused == Refused::GatewayFailed {
            info!(request_id, "the provider did not take a message or check a code");
        }
        let error = Error::refused(refused, self.path, self.now());
        debug!(request_id, code = error.code(), "a verification was not served");
        error
    }

    /// Why the registry did not do it.
    pub fn failed(&self, error: RegistryError) -> Error {
        match error {
            RegistryError::NotFound(_) => self.not_found(),
            // The requests' word for it is Twilio's.
            RegistryError::Invalid { field: "expires", why } => Error::parameter("DateExpires", why),
            RegistryError::Invalid { field, why } => Error::parameter(&parameter_name(field), why),
            RegistryError::Exists { .. } | RegistryError::ReadOnly(_) => Error::conflict(error.to_string()),
            RegistryError::TooMany { .. } => Error::invalid(error.to_string()),
            RegistryError::Store(why) => {
                error!(request_id = self.request_id, why, "a change could not be stored");
                Error::unavailable(Refusal::StoreUnavailable)
            }
        }
    }
}

/// How requests spell a field of an answer: `code_length` is `CodeLength`.
fn parameter_name(field: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    field.split('_').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_requests_spell_it() {
        assert_eq!(parameter_name("code_length"), "CodeLength");
        assert_eq!(parameter_name("max"), "Max");
        assert_eq!(parameter_name("webhook_url"), "WebhookUrl");
    }
}
