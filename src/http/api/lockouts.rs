//! `/v2/Services/{ServiceSid}/Lockouts/{To}`, which is not Twilio's: the lockout of a number, and its end; and
//! `.../Numbers/{To}`: the erasure of a number.

use super::prelude::*;
use crate::engine::LockoutState;
use crate::verification::numbers::Refusal;
use crate::verification::verify::{Erasure, Refused};

view! {
    /// Consecutive wrong codes of a number, and the end of its lockout.
    LockoutView as "Lockout"(frame, service: Sid, number: PhoneNumber, state: LockoutState) {
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The number, in E.164 form.
        to: String = number.e164(),
        /// Consecutive wrong codes.
        wrong_codes: u8 = state.wrong_codes,
        /// The time until which checks are refused; null while they are allowed.
        date_locked_until: Option<Date> = state.until.map(Date::from),
        url: Url = frame.url(format_args!("/Services/{service}/Lockouts/{}", number.e164())),
    }
}

view! {
    /// The erasure of a number.
    ErasureView as "Erasure"(frame, service: Sid, number: PhoneNumber, erasure: Erasure) {
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The number, in E.164 form.
        to: String = number.e164(),
        /// Whether something was known of the number, and is erased.
        erased: bool = erasure.has_erased,
        /// The end of the lockout of the number, which stays until then; null without one.
        date_locked_until: Option<Date> = erasure.locked_until.map(Date::from),
    }
}

pub async fn fetch(InService(request, service, ()): InService) -> Answer<LockoutView> {
    let number = request.number("To")?;
    let state = request.running.verifying.lockout(service.id, number).await?;
    Ok(Json(LockoutView::new(&request.frame(), service.sid, number, state)))
}

/// `DELETE`: ends the lockout and the guard's refusals, clears the counts and voids the code, as `onceward unlock`.
pub async fn delete(InService(request, service, ()): InService) -> Gone {
    let number = request.number("To")?;
    request.running.verifying.unlock(service.id, number, request.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE` of `Numbers/{To}`: erases what is kept of a number, as `onceward erase`. A caller who may change more than this
/// service also removes it from the safe list.
pub async fn erase(InService(request, service, ()): InService) -> Answer<ErasureView> {
    let (number, id) = (request.number("To")?, service.id);
    let (verifying, by) = (request.running.verifying.clone(), request.author());
    // In a task of its own: a client that hangs up cannot stop the work half way.
    let work = tokio::spawn(async move { verifying.erase(id, number, by).await });
    let mut erasure = work.await.unwrap_or(Err(Refusal::OutcomeUnknown)).map_err(Refused::from)?;
    if request.caller.may_everywhere(Scope::Admin) {
        let was_safe = request.running.guard.remove_safe_number(number, request.author()).await;
        // An earlier commit has erased the rest.
        erasure.has_erased |= was_safe.map_err(|_| Refused::from(Refusal::OutcomeUnknown))?;
    }
    Ok(Json(ErasureView::new(&request.frame(), service.sid, number, erasure)))
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Lockouts",
            "Wrong codes in a row of a number, the end of its lockout, and the erasure of a number. Not in \
            Twilio's API.",
            Access::Scope(Scope::Admin)))
        .get("/v2/Services/{ServiceSid}/Lockouts/{To}", fetch,
            operation(fetch, "FetchLockout", "Fetch the lockout of a number").about("404 without a wrong code or a lockout."))
        .delete("/v2/Services/{ServiceSid}/Lockouts/{To}", delete,
            operation(delete, "DeleteLockout", "End the lockout of a number")
                .about("Ends a lockout and a hard stop, clears the counts, and voids the number's code."))
        .delete("/v2/Services/{ServiceSid}/Numbers/{To}", erase,
            operation(erase, "DeleteNumber", "Erase a number")
                .about("Erases the verification, the counts, the attempts, the planned messages and the \
                        events about the number. A lockout that is in force stays until it ends. With the \
                        account's credentials or a key for all services the number also leaves the safe \
                        list. 200 for an unknown number too."))
}
