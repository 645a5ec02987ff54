//! The page of a number: its state in each service, its messages, and what an operator can do about it.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Answer;
use super::messages::checked;
use super::prelude::*;
use super::webhooks::state_of;
use crate::delivery::SendStatus;
use crate::delivery::attempts::{ListedAttempt, VerifyStatus};
use crate::domain::NumberLookup;
use crate::engine::LockoutState;
use crate::gateway::ReceiptStatus;
use crate::limits::guard::operator::refusal_in_words;
use crate::limits::guard::{RefusedNumber, Rule};
use crate::verification::{
    Cleared, Ending, Erasure, NumberStatus, Refused, Status, VerificationStatus, VerificationTarget,
};
use crate::webhook::{Delivery, EventId};

#[derive(Template)]
#[template(path = "number.html")]
struct NumberPage<'a> {
    request: &'a AdminRequest,
    path: String,
    number: PhoneNumber,
    /// What the numbering plans tell, as a sentence.
    plan: String,
    /// The answer of each service, that with the last message first. One service alone is not named.
    answers: Vec<(Option<String>, Answer)>,
    states: Vec<State>,
}

/// What is known of the number in one service.
struct State {
    service: Sid,
    title: String,
    verification: Option<VerificationStatus>,
    max_checks: u8,
    lockout: LockoutState,
    /// Whether there may be older messages.
    is_cut: bool,
    /// The newest first.
    timeline: Vec<Entry>,
}

/// Deliveries of events that are shown. A number has seldom more.
const EVENTS: usize = 200;

/// Something that happened.
struct Entry {
    at: Timestamp,
    title: String,
    badge: Option<(&'static str, &'static str)>,
    detail: String,
}

impl State {
    fn new(
        service: &Service,
        title: String,
        status: Option<NumberStatus>,
        refused: Option<RefusedNumber>,
        events: &[Delivery],
    ) -> Self {
        let (verification, lockout, messages) = status
            .map_or_else(Default::default, |status| (status.verification, status.lockout, status.messages));
        let mut timeline = Entry::of_events(events);
        timeline.extend(lockout.until.and_then(|until| Entry::of_lockout(until, &messages)));
        timeline.extend(Entry::of_checks(&messages));
        timeline.extend(refused.map(Entry::of_refusal));
        timeline.extend(messages.iter().rev().flat_map(Entry::of));
        let begun = verification.as_ref().map(|of| (of.begun, of.sid.to_string()));
        timeline.extend(begun.map(|(at, sid)| Entry::new(at, "verification begun", None, sid)));
        timeline.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        let (max_checks, is_cut) = (service.settings.max_checks, messages.len() >= NumberStatus::MESSAGES);
        Self { service: service.sid, title, verification, max_checks, lockout, is_cut, timeline }
    }

    fn is_pending(&self) -> bool {
        self.verification.as_ref().is_some_and(|known| known.status == Status::Pending)
    }

    fn checks_left(&self) -> Option<u8> {
        let wrong = self.verification.as_ref().filter(|_| self.is_pending())?.wrong_codes;
        Some(self.max_checks.saturating_sub(wrong))
    }

    fn can_be_unlocked(&self) -> bool {
        self.lockout.until.is_some() || self.lockout.wrong_codes > 0
    }
}

/// How far the verification has come, for a person.
fn status_text(known: &VerificationStatus) -> String {
    match known.status {
        Status::MaxAttemptsReached => "no checks left".to_owned(),
        Status::Pending => format!("pending, expires {}", moment(known.ends)),
        status => status.as_str().to_owned(),
    }
}

impl Entry {
    /// `badge` is its class in the style sheet, and a word.
    fn new(
        at: Timestamp,
        title: impl Into<String>,
        badge: Option<(&'static str, &'static str)>,
        detail: impl Into<String>,
    ) -> Self {
        Self { at, title: title.into(), badge, detail: detail.into() }
    }

    fn time(&self) -> String {
        moment(self.at)
    }

    /// A message and the last report about it.
    fn of(listed: &ListedAttempt) -> impl Iterator<Item = Self> {
        let row = &listed.attempt;
        let class = |is_failed| if is_failed { "problem" } else { "" };
        let is_failed = matches!(row.status, SendStatus::GatewayError | SendStatus::Unsendable);
        let badge = match listed.verify_status {
            VerifyStatus::Success => ("good", "verified"),
            _ => (class(is_failed), row.status.as_str()),
        };
        let retries = match row.retries {
            0 => None,
            1 => Some("1 retry".to_owned()),
            count => Some(format!("{count} retries")),
        };
        let error = row.error_code.map(|code| format!("error {code}"));
        let id = row.message_id.as_ref().map(|id| format!("message {id}"));
        let (gateway, of_message) = (row.gateway.as_str(), id.clone().unwrap_or_default());
        let receipt = row.receipt.zip(row.receipt_at).map(|(status, at)| {
            let badge = (class(status == ReceiptStatus::Failed), status.as_str());
            Self::new(at, format!("receipt of {gateway}"), Some(badge), of_message)
        });
        let title = format!("{} by {gateway}", row.channel.as_str());
        let detail = [error, retries, id].into_iter().flatten().collect::<Vec<_>>().join(", ");
        receipt.into_iter().chain([Self::new(row.at, title, Some(badge), detail)])
    }

    /// The last check of each verification: others have no time.
    fn of_checks(messages: &[ListedAttempt]) -> impl Iterator<Item = Self> {
        let mut seen = BTreeSet::new();
        let last = messages.iter().rev().filter(move |listed| seen.insert(listed.id.key.verification));
        last.filter_map(|listed| {
            let (class, detail) = match listed.verify_status {
                VerifyStatus::Success => ("good", "The code was right, or the application approved."),
                VerifyStatus::InvalidCode => ("problem", "Earlier checks of this verification have no time."),
                _ => ("problem", ""),
            };
            Some(Self::new(listed.checked_at?, "check of a code", Some((class, checked(listed))), detail))
        })
    }

    /// A lockout begins with a wrong code.
    fn of_lockout(until: Timestamp, messages: &[ListedAttempt]) -> Option<Self> {
        let wrong = messages.iter().filter(|listed| listed.verify_status == VerifyStatus::InvalidCode);
        let (at, detail) = (wrong.filter_map(|listed| listed.checked_at).max()?, moment(until));
        Some(Self::new(at, "lockout", Some(("problem", "locked")), format!("until {detail}")))
    }

    fn of_refusal(refused: RefusedNumber) -> Self {
        Self::new(refused.last, "message", Some(("problem", "refused")), refusal_in_words(refused))
    }

    /// Events, each with the worst state of its deliveries.
    fn of_events(deliveries: &[Delivery]) -> Vec<Self> {
        let mut events: BTreeMap<EventId, (&Delivery, _)> = BTreeMap::new();
        for delivery in deliveries {
            let badge = state_of(delivery);
            let known = events.entry(delivery.event.id).or_insert((delivery, badge));
            if badge.0 == "problem" || known.1.0 == "good" {
                known.1 = badge;
            }
        }
        let entries = events.into_iter().map(|(id, (delivery, badge))| {
            let title = format!("webhook event {}", delivery.event.kind.as_str());
            Self::new(delivery.event.at, title, Some(badge), id.to_string())
        });
        entries.collect()
    }
}

/// `GET /admin/numbers/{Id}`.
pub async fn page(request: AdminRequest) -> PageResult {
    let Some(number) = number(&request) else { return unknown(&request) };
    let (mut states, mut answers) = (Vec::new(), Vec::new());
    let of_number = |of: &Delivery| of.event.to == number;
    let deliveries = request.running.outbox.deliveries_that(of_number, EVENTS).await?;
    let (verifying, guard) = (&request.running.verifying, &request.running.guard);
    let registry = &request.running.registry;
    // With one service there is nothing to search for.
    let services = if registry.count() > 1 {
        verifying.services_of(number).await?
    } else {
        registry.services(0, usize::MAX)
    };
    let known_only: Vec<_> = guard.known_only().into_iter().map(|entry| entry.service_sid).collect();
    let described = |gateway, code| verifying.delivery.described(gateway, code);
    for service in services {
        let known = verifying.status(service.id, number).await?;
        let refused = guard.refusal(service.id, number);
        let of_service = |delivery: &&Delivery| delivery.event.service == service.id;
        let events: Vec<_> = deliveries.iter().filter(of_service).cloned().collect();
        if known.is_none() && refused.is_none() && events.is_empty() {
            continue;
        }
        let title = service.title();
        let is_over = refused.is_some_and(|last| match last.rule {
            Rule::KnownOnly => {
                !known_only.iter().any(|of| of.as_ref().is_none_or(|sid| *sid == service.sid.to_string()))
            }
            Rule::Lockout => known.as_ref().is_none_or(|known| known.lockout.until.is_none()),
            _ => last.until.is_some_and(|until| until <= request.now()),
        });
        let answer = Answer::of(known.as_ref(), refused, is_over, &described);
        answers.extend(answer.map(|answer| (Some(title.clone()), answer)));
        states.push(State::new(&service, title, known, refused, &events));
    }
    answers.sort_by_key(|(_, answer)| std::cmp::Reverse(answer.at));
    if let [(service, _)] = &mut answers[..] {
        *service = None;
    }
    let (path, plan) = (request.path_of(number), plan(number));
    Ok(html(&NumberPage { request: &request, path, number, plan, answers, states }))
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
            let cleared = request.running.verifying.clear(service.id, number, request.author()).await?;
            request.call.app.lockouts.invalidate().await;
            let text = match cleared {
                Cleared::Locked => "is unlocked, and an outstanding code is void",
                Cleared::NotLocked => {
                    "was not locked; what was counted of it is cleared, and an outstanding code is void"
                }
                Cleared::Unknown => "is unknown, and nothing was changed",
            };
            let text = format!("{number} {text}, in {}.", service.title());
            if cleared == Cleared::Unknown { Err(text) } else { Ok(text) }
        }
        ("cancel", Some(service)) => {
            let (target, by) = (VerificationTarget::Number(number), Some(request.author()));
            let ended = request.running.verifying.end(service.id, target, Ending::Canceled, by).await;
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

/// Erases the number as `onceward erase`, in a task of its own: a browser that leaves cannot stop the work half way.
async fn erase(request: &AdminRequest, number: PhoneNumber) -> PageResult {
    let (verifying, by) = (request.running.verifying.clone(), request.author());
    let work = tokio::spawn(async move { verifying.erase(None, number, by).await });
    match work.await.map_err(|_| Refusal::OutcomeUnknown)? {
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
    request.running.verifying.number_of(&sid)
}

fn unknown(request: &AdminRequest) -> PageResult {
    let text = "This link names no number. Look the number up.";
    request.tell("/admin", Err(text.to_owned()))
}
