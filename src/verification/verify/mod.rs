//! Verifications as Twilio Verify's API knows them: requests, their rules, and views of the results.
//!
//! This module is above the shards and below the HTTP front end. It knows no HTTP statuses. Tests of the front end
//! replace the trait [`Verifications`].

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod request;
mod serve;
mod view;

pub use crate::delivery::attempts::AttemptQuery;
pub use crate::engine::Ending;
pub use request::{BeginRequest, CarryCode, CheckCode, VerificationTarget};
pub use serve::{Cleared, Verifying};
pub use view::{
    CarriedMessage, Erasure, NumberStatus, Refused, SealedAttempt, Status, Summary, Verification,
    VerificationStatus,
};

use futures_util::future::BoxFuture;

use crate::domain::{PhoneNumber, ServiceId, Sid};
use crate::engine::LockoutState;
use crate::limits::guard::PumpingGuard;
use crate::registry::audit::Author;

/// The answer to a request about verifications.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Refused>>;

pub trait Verifications: Send + Sync + 'static {
    /// Begins a verification, or sends its code again. The answer comes when the provider took the message, and
    /// everything it says is durable.
    fn begin(&self, begin: BeginRequest) -> Answer<'_, Verification>;

    /// Carries a code that another system made. The answer comes when the provider took the message.
    fn carry(&self, carry: CarryCode) -> Answer<'_, CarriedMessage>;

    /// Another system has verified the number. Returns whether a code was carried to it before.
    fn outcome(&self, service: ServiceId, number: PhoneNumber) -> Answer<'_, bool>;

    /// Checks a code. A wrong one is no error: the verification is then not approved.
    fn check(&self, service: ServiceId, check: CheckCode) -> Answer<'_, Verification>;

    /// The verification that is under way: pending, or with no attempts left.
    fn fetch(&self, service: ServiceId, target: VerificationTarget) -> Answer<'_, Verification>;

    /// Ends a verification by decision of the caller: it is approved in another way, or canceled. The audit log has an entry if it has an author.
    fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        by: Option<Author>,
    ) -> Answer<'_, Verification>;

    fn lockout(&self, service: ServiceId, number: PhoneNumber) -> Answer<'_, LockoutState>;

    /// Ends them, and voids the number's code.
    fn unlock(&self, service: ServiceId, number: PhoneNumber, by: Author) -> Answer<'_, ()>;

    /// Erases what is kept of a number in the service.
    fn erase(&self, service: ServiceId, number: PhoneNumber, by: Author) -> Answer<'_, Erasure>;

    fn guard(&self) -> Option<PumpingGuard> {
        None
    }

    /// Attempts to deliver messages, the newest first.
    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Vec<SealedAttempt>>;

    /// One of them.
    fn attempt(&self, sid: Sid) -> Answer<'_, SealedAttempt>;

    /// The number of those that led to a verified number.
    fn summary(&self, query: AttemptQuery) -> Answer<'_, Summary>;
}
