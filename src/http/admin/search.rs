//! The search box of every page: it leads to what its words are about. No address has a whole number.

use std::collections::BTreeSet;

use super::prelude::*;
use crate::domain::meant;
use crate::limits::guard::RefusedNumber;
use crate::verification::{AttemptQuery, Refused};
use crate::webhook::{Delivery, EventId};

const MESSAGES: &str = "/admin/messages";
const REFUSALS: &str = "/admin/refusals";

/// Digits of a number that an address may have.
const ENDING: usize = 4;

/// Messages that are read for a part of a number.
const READ: usize = 20_000;

/// `POST /admin/search`.
pub async fn search(request: AdminRequest) -> PageResult {
    let words: String = request.field("q").chars().filter_map(meant).collect();
    // A sentence may go on behind a number, which a mail or a sheet puts between signs.
    let words = words.trim_matches(|c: char| !c.is_ascii() || " ,;.:\"'<>".contains(c));
    // In letters of either case.
    let (upper, lower) = (words.to_ascii_uppercase(), words.to_ascii_lowercase());
    if let Some(sid) = SidKind::ALL.into_iter().find_map(|kind| Sid::parse(kind, &upper)) {
        return of_id(&request, sid).await;
    }
    if let Some(event) = EventId::parse(&lower) {
        return of_event(&request, event).await;
    }
    // Digits without a plus may be a part of a number.
    if let Ok(number) = PhoneNumber::parse(words, None) {
        return Ok(redirect(&request.path_of(number)));
    }
    if !words.is_empty() && words.chars().all(|c| c.is_ascii_digit() || " +*-()./".contains(c)) {
        return of_digits(&request, words).await;
    }
    if words.len() >= 8 && words.bytes().all(|byte| byte.is_ascii_graphic()) && !has_number(words) {
        return Ok(redirect(&address(MESSAGES, [("message", words)])));
    }
    not_found(&request, "This is no number, no part of one and no id.")
}

/// Leads to what has this id.
async fn of_id(request: &AdminRequest, sid: Sid) -> PageResult {
    let verification = match sid.kind() {
        SidKind::Verification => sid,
        SidKind::Attempt => match request.running.verifying.attempt(sid).await {
            Ok(attempt) => attempt.verification,
            Err(Refused::Unavailable(refusal)) => return Err(refusal.into()),
            Err(_) => return not_found(request, "No message has this id."),
        },
        SidKind::Service => return Ok(redirect(&format!("/admin/services/{sid}"))),
        SidKind::Webhook => return Ok(redirect(&format!("/admin/webhooks/{sid}"))),
        _ => return Ok(redirect(&address("/admin/audit", [("of", &*sid.to_string())]))),
    };
    Ok(redirect(&address(MESSAGES, [("verification", &*verification.to_string())])))
}

/// Leads to the newest delivery of an event, with its payload and its answer.
async fn of_event(request: &AdminRequest, id: EventId) -> PageResult {
    let found = request.running.outbox.deliveries_that(|delivery| delivery.event.id == id, 1).await?;
    let Some(Delivery { webhook, .. }) = found.first() else {
        return not_found(request, "No event has this id, or it is no longer kept.");
    };
    Ok(redirect(&format!("/admin/webhooks/{webhook}?id={id}")))
}

/// Whether a word that should be an id may be a number between other signs.
fn has_number(word: &str) -> bool {
    let begins = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count() > ENDING;
    !word.bytes().any(|byte| byte.is_ascii_alphabetic()) || word.split('+').skip(1).any(begins)
}

/// Leads to the one number with messages or refusals that these digits end, or that they are without its plus or in the
/// server's country. Otherwise it leads to all messages whose numbers have the last of these digits, or to the refusals.
async fn of_digits(request: &AdminRequest, words: &str) -> PageResult {
    let part = words.rsplit_once('*').map_or(words, |(_, ending)| ending);
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    // A number that is written as in its own country begins with a zero or two.
    let is_end = words.contains('*') || digits.len() <= ENDING;
    let digits = if is_end { &digits } else { digits.trim_start_matches('0') };
    let ending = &digits[digits.len().saturating_sub(ENDING)..];
    if ending.is_empty() {
        return not_found(request, "This is no number, no part of one and no id.");
    }
    let query = AttemptQuery { ending: Some(digits.to_owned()), ..AttemptQuery::newest(READ) };
    let messages = request.running.verifying.messages(query).await?;
    let fits = |refused: &RefusedNumber| refused.number.e164().ends_with(digits);
    let refused = request.running.guard.refused_numbers().into_iter().filter(fits);
    let refused: BTreeSet<_> = refused.map(|refused| refused.number).collect();
    let known = messages.iter().map(|message| message.listed.number).chain(refused.iter().copied());
    let known: BTreeSet<_> = known.collect();
    if let (Some(number), 1) = (known.first(), known.len())
        && (!is_end || messages.is_empty())
    {
        return Ok(redirect(&request.path_of(*number)));
    }
    if !is_end {
        let region = request.call.app.settings.storage.default_region;
        let read = PhoneNumber::parse(words, region).ok().filter(|number| number.is_in_a_plan());
        if let Some(number) = read.or_else(|| PhoneNumber::parse(&format!("+{words}"), None).ok()) {
            return Ok(redirect(&request.path_of(number)));
        }
        let text = format!("The numbers of these messages have the last {ENDING} of these digits.");
        request.notify(Ok(text));
    }
    let list = if messages.is_empty() && !refused.is_empty() { REFUSALS } else { MESSAGES };
    Ok(redirect(&address(list, [("ending", ending)])))
}

fn not_found(request: &AdminRequest, why: &str) -> PageResult {
    request.tell(MESSAGES, Err(why.to_owned()))
}
