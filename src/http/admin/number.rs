//! The page of a number: its state in each service, its messages, and what an operator can do about it.

use super::answer::{Answer, CodeState};
use super::messages::{checked, class};
use super::prelude::*;
use crate::delivery::attempts::ListedAttempt;
use crate::domain::NumberLookup;
use crate::engine::LockoutState;
use crate::http::api::attempts::message_status;
use crate::limits::guard::operator::refusal_in_words;
use crate::verification::{
    Ending, Erasure, MESSAGES, Refused, Status, VerificationSummary, VerificationTarget,
};

#[derive(Template)]
#[template(path = "number.html")]
struct NumberPage<'a> {
    request: &'a AdminRequest,
    path: String,
    number: PhoneNumber,
    /// What the numbering plans tell, as a sentence.
    plan: String,
    states: Vec<State>,
}

/// What is known of the number in one service.
struct State {
    service: Sid,
    title: String,
    answer: Option<Answer>,
    verification: Option<(Sid, VerificationSummary)>,
    max_checks: u8,
    lockout: LockoutState,
    /// The last refusal, as a sentence.
    refusal: Option<String>,
    /// The newest first.
    messages: Vec<ListedAttempt>,
}

impl State {
    fn is_pending(&self) -> bool {
        self.verification.as_ref().is_some_and(|(_, known)| Status::of(known) == Status::Pending)
    }

    fn checks_left(&self) -> Option<u8> {
        let (_, known) = self.verification.as_ref().filter(|_| self.is_pending())?;
        Some(self.max_checks.saturating_sub(known.details.wrong))
    }

    fn can_be_unlocked(&self) -> bool {
        self.lockout.until.is_some() || self.lockout.wrong_codes > 0
    }
}

/// How far the verification has come, for a person.
fn status_text(known: &VerificationSummary) -> String {
    match Status::of(known) {
        Status::MaxAttemptsReached => "no checks left".to_owned(),
        Status::Pending => format!("pending, expires {}", moment(known.expires)),
        status => status.as_str().to_owned(),
    }
}

/// `GET /admin/numbers/{Id}`.
pub async fn page(request: AdminRequest) -> PageResult {
    let Some(number) = number(&request) else { return unknown(&request) };
    let (verifier, registry) = (&request.running.verifier, &request.running.registry);
    // With one service there is nothing to search for.
    let services = if registry.count() > 1 {
        let known = verifier.services_of(number).await?;
        known.into_iter().rev().filter_map(|service| registry.service_by_id(service)).collect()
    } else {
        registry.services(0, usize::MAX)
    };
    let described = |gateway, code| verifier.delivery.described(gateway, code);
    let mut states = Vec::new();
    for service in services {
        let known = verifier.status(&service, number).await?;
        let refused = request.running.guard.refusal(service.id, number);
        if known.is_none() && refused.is_none() {
            continue;
        }
        let (verification, lockout, messages) =
            known.map_or_else(Default::default, |known| (known.verification, known.lockout, known.messages));
        let code = match &verification {
            _ if lockout.until.is_some() => lockout.until.map(CodeState::Locked),
            Some((_, known)) if request.now() < known.expires => match Status::of(known) {
                Status::Pending => Some(CodeState::Pending),
                Status::MaxAttemptsReached => Some(CodeState::UsedUp(known.expires)),
                Status::Approved | Status::Canceled => None,
            },
            _ => None,
        };
        let answer = Answer::of(messages.first(), refused, code.unwrap_or(CodeState::None), &described);
        let (title, max_checks) = (service.title(), service.settings.max_checks);
        let (service, refusal) = (service.sid, refused.map(refusal_in_words));
        states.push(State { service, title, answer, verification, max_checks, lockout, refusal, messages });
    }
    let (path, plan) = (request.path_of(number), plan(number));
    Ok(html(&NumberPage { request: &request, path, number, plan, states }))
}

/// The country, the national format and the type of line, or why the number is not valid.
fn plan(number: PhoneNumber) -> String {
    let found = NumberLookup::from(number);
    let country = found.region.map(|region| region.to_string());
    let line_type = found.line_type.map(|line| line.as_str().to_owned());
    let problem = found.problem.map(|problem| format!("not valid: {problem}"));
    [country, found.national_format, line_type, problem].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `POST /admin/numbers/{Id}`: carries out an action, and leads to the page that shows the result.
pub async fn act(request: AdminRequest) -> PageResult {
    let Some(number) = number(&request) else { return unknown(&request) };
    let notice = match (request.field("action"), request.service(request.field("service"))) {
        ("erase", _) => return erase(&request, number).await,
        ("unlock", Some(service)) => {
            let is_known = request.running.verifier.unlock(&service, number, request.author()).await?;
            request.call.app.lockouts.invalidate().await;
            let title = service.title();
            if is_known {
                Ok(format!(
                    "{number} is unlocked, and an outstanding code is void, in {title}. Let the person ask for a new code."
                ))
            } else {
                Err(format!("{number} is unknown, and nothing was changed, in {title}."))
            }
        }
        ("cancel", Some(service)) => {
            let (target, by) = (VerificationTarget::Number(number), Some(request.author()));
            let ended = request.running.verifier.end(service.id, target, Ending::Canceled, by).await;
            let title = service.title();
            match ended {
                Ok(_) => Ok(format!("The verification of {number} in {title} is canceled.")),
                Err(Refused::Unavailable(refusal)) => return Err(refusal.into()),
                Err(_) => Err(format!("{number} has no verification under way in {title}.")),
            }
        }
        ("unlock" | "cancel", None) => Err("Nothing was changed: the service does not exist.".to_owned()),
        _ => Err(NO_ACTION.to_owned()),
    };
    request.tell(&request.path_of(number), notice)
}

/// Erases the number as `onceward erase`.
async fn erase(request: &AdminRequest, number: PhoneNumber) -> PageResult {
    match request.running.verifier.erase(None, number, request.author()).await {
        Ok(Erasure { has_erased, locked_until, .. }) => {
            let lockout =
                locked_until.map(|until| format!(" Its lockout stays until {} UTC.", moment(until)));
            let lockout = lockout.unwrap_or_default();
            let done = if has_erased { "is erased in every service" } else { "had nothing to erase" };
            request.tell("/admin", Ok(format!("{number} {done}.{lockout}")))
        }
        Err(error) => {
            let text = format!("Some data of {number} may be left: {error}. Erase it again.");
            request.tell(&request.path_of(number), Err(text))
        }
    }
}

/// The number that the path names.
fn number(request: &AdminRequest) -> Option<PhoneNumber> {
    let sid = Sid::parse(SidKind::Verification, request.call.param("Id")?)?;
    request.running.verifier.number_of(&sid)
}

fn unknown(request: &AdminRequest) -> PageResult {
    let text = "This link names no number. Look the number up.";
    request.tell("/admin", Err(text.to_owned()))
}
