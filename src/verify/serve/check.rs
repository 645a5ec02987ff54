//! Checks, and ends that callers decide.

use super::Inner;
use super::found::Meant;
use crate::domain::ServiceId;
use crate::engine;
use crate::numbers::{CheckAnswer, CheckRequest, EndRequest, Facts, Limit, NamedCheck};
use crate::verify::{CheckCode, Ending, Refused, Status, Target, Verification};

impl Inner {
    pub(super) async fn check(&self, service: ServiceId, check: CheckCode) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let Meant { number, named } = self.meant(&service, check.target)?;
        let request = NamedCheck {
            check: CheckRequest { service: service.id, number, code: check.code },
            named,
            is_test: self.test(&service, number).is_some(),
        };
        let told = self.verifier.check_named(request).await.map_err(Refused::from)?;
        let answer = told.answer.map_err(|limit| self.refusal(limit))?;
        let status = self.status_after(&answer, told.facts.as_ref(), named.is_some())?;
        // Whoever is told of a verification has one: these answers are about one.
        let facts = told.facts.ok_or(Refused::NotFound)?;
        self.shown(service.id, number, &facts, status).await
    }

    fn status_after(
        &self,
        answer: &CheckAnswer,
        facts: Option<&Facts>,
        is_named: bool,
    ) -> Result<Status, Refused> {
        let spent = facts.is_some_and(|facts| facts.spent);
        match *answer {
            CheckAnswer::Approved => Ok(Status::Approved),
            CheckAnswer::Wrong { live: false, .. } | CheckAnswer::LockedNow { live: false, .. } => {
                Err(Refused::NotFound)
            }
            CheckAnswer::LockedNow { live: true, .. } => Ok(Status::MaxAttemptsReached),
            CheckAnswer::Wrong { live: true, attempts_left }
                if spent || (attempts_left == 0 && !is_named) =>
            {
                Ok(Status::MaxAttemptsReached)
            }
            CheckAnswer::Wrong { live: true, .. } => Ok(Status::Pending),
            CheckAnswer::Locked { remaining } => {
                Err(Refused::NoChecksLeft { until: Some(self.in_time(remaining)) })
            }
            CheckAnswer::GatewayFailed => Err(Refused::GatewayFailed),
        }
    }

    pub(super) async fn end(
        &self,
        service: ServiceId,
        target: Target,
        ending: Ending,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let Meant { number, named } = self.meant(&service, target)?;
        let (decided, status) = match ending {
            Ending::Canceled => (engine::Ending::Canceled, Status::Canceled),
            Ending::Approved => (engine::Ending::Approved, Status::Approved),
        };
        let request = EndRequest { service: service.id, number, ending: decided, named };
        let told = self.verifier.end(request).await.map_err(Refused::from)?;
        told.answer.map_err(|limit| self.refusal(limit))?;
        let facts = told.facts.ok_or(Refused::NotFound)?;
        self.shown(service.id, number, &facts, status).await
    }

    /// A rule of the service that stands against a request.
    pub(super) fn refusal(&self, limit: Limit) -> Refused {
        match limit {
            Limit::NotFound => Refused::NotFound,
            Limit::NoChecksLeft { remaining } => {
                Refused::NoChecksLeft { until: remaining.map(|remaining| self.in_time(remaining)) }
            }
            Limit::NoSendsLeft { remaining } => Refused::NoSendsLeft { until: self.in_time(remaining) },
            Limit::CoolingDown { remaining } | Limit::StillSending { remaining } => {
                Refused::TooMany { until: self.in_time(remaining) }
            }
        }
    }
}
