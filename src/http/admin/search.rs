//! The search box of every page: it leads to what its words are about. No address has a whole number.

use super::prelude::*;
use crate::domain::meant;
use crate::verification::Refused;

const MESSAGES: &str = "/admin/messages";

/// Digits of a number that an address may have.
const ENDING: usize = 4;

/// `POST /admin/search`.
pub async fn search(request: AdminRequest) -> PageResult {
    let words: String = request.field("q").chars().filter_map(meant).collect();
    // A sentence may go on behind a number, which a mail or a sheet puts between signs.
    let words = words.trim_matches(|c: char| !c.is_ascii() || " ,;.:\"'<>".contains(c));
    // In letters of either case.
    let upper = words.to_ascii_uppercase();
    if let Some(sid) = SidKind::ALL.into_iter().find_map(|kind| Sid::parse(kind, &upper)) {
        return of_id(&request, sid).await;
    }
    // Digits without a plus may be a part of a number.
    if let Ok(number) = PhoneNumber::parse(words, None) {
        return Ok(redirect(&request.path_of(number)));
    }
    if !words.is_empty() && words.chars().all(|c| c.is_ascii_digit() || " +*-()./".contains(c)) {
        return of_digits(&request, words);
    }
    if words.len() >= 8 && words.bytes().all(|byte| byte.is_ascii_graphic()) && !has_number(words) {
        return Ok(redirect(&address(MESSAGES, [("message", words)])));
    }
    not_found(&request, NOTHING)
}

/// Leads to what has this id.
async fn of_id(request: &AdminRequest, sid: Sid) -> PageResult {
    let verification = match sid.kind() {
        SidKind::Verification => sid,
        SidKind::Attempt => match request.running.verifier.attempt(sid).await {
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

/// Whether a word that should be an id may be a number between other signs.
fn has_number(word: &str) -> bool {
    let begins = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count() > ENDING;
    !word.bytes().any(|byte| byte.is_ascii_alphabetic()) || word.split('+').skip(1).any(begins)
}

/// Leads to the page of a number without its plus or of the server's country, or to the messages whose numbers end with
/// these digits.
fn of_digits(request: &AdminRequest, words: &str) -> PageResult {
    let part = words.rsplit_once('*').map_or(words, |(_, ending)| ending);
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return not_found(request, NOTHING);
    }
    if words.contains('*') || digits.len() <= ENDING {
        let ending = &digits[digits.len().saturating_sub(ENDING)..];
        return Ok(redirect(&address(MESSAGES, [("ending", ending)])));
    }
    let region = request.call.app.settings.storage.default_region;
    let read = PhoneNumber::parse(words, region).ok().filter(|number| number.is_in_a_plan());
    match read.or_else(|| PhoneNumber::parse(&format!("+{words}"), None).ok()) {
        Some(number) => Ok(redirect(&request.path_of(number))),
        None => not_found(request, NOTHING),
    }
}

const NOTHING: &str = "This is no number, none's last four digits, and no id.";

fn not_found(request: &AdminRequest, why: &str) -> PageResult {
    request.tell(MESSAGES, Err(why.to_owned()))
}
