//! `/v2/Services/{ServiceSid}/Lockouts/{To}`, which is not Twilio's: the lockout of a number, and its end; and
//! `.../Numbers/{To}`: the erasure of a number.

use super::prelude::*;

/// Consecutive wrong codes of a number, and the end of its lockout.
#[derive(Serialize, JsonSchema)]
pub struct Lockout {
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The number, in E.164 form.
    pub to: String,
    /// Consecutive wrong codes.
    pub wrong_codes: u8,
    /// The time until which checks are refused; null while they are allowed.
    pub date_locked_until: Option<Date>,
    pub url: Url,
}

/// The erasure of a number.
#[derive(Serialize, JsonSchema)]
pub struct Erasure {
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The number, in E.164 form.
    pub to: String,
    /// Whether something was known of the number, and is erased.
    pub erased: bool,
    /// The end of the lockout of the number, which stays until then; null without one.
    pub date_locked_until: Option<Date>,
}

async fn fetch(of: InService<values::PhoneNumber>) -> Answer<Lockout> {
    let (service, number) = (&of.service, of.path.0);
    let state = of.done(of.running.verifier.lockout(service.id, number).await)?;
    Ok(Json(Lockout {
        service_sid: Id(service.sid),
        account_sid: of.account(),
        to: number.e164(),
        wrong_codes: state.wrong_codes,
        date_locked_until: state.until.map(Date::from),
        url: of.url(format_args!("/v2/Services/{}/Lockouts/{}", service.sid, number.e164())),
    }))
}

/// `DELETE`: ends the lockout and the guard's refusals, clears the counts and voids the code, as `onceward unlock`.
async fn unlock(of: InService<values::PhoneNumber>) -> Gone {
    let is_known = of.running.verifier.unlock(&of.service, of.path.0, of.author()).await?;
    if is_known { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NO_RESOURCE) }
}

/// `DELETE` of `Numbers/{To}`: erases what is kept of a number, as `onceward erase`. A caller who may change more than this
/// service also removes it from the safe list.
async fn erase(of: InService<values::PhoneNumber>) -> Answer<Erasure> {
    let (number, id) = (of.path.0, of.service.id);
    let mut erasure = of.running.verifier.erase(Some(id), number, of.author()).await?;
    if of.who.may_everywhere(Scope::Admin) {
        let was_safe = of.running.guard.remove_safe_number(number, of.author()).await;
        // An earlier commit has erased the rest.
        erasure.has_erased |= was_safe.map_err(|_| Refusal::OutcomeUnknown)?;
    }
    Ok(Json(Erasure {
        service_sid: Id(of.service.sid),
        account_sid: of.account(),
        to: number.e164(),
        erased: erasure.has_erased,
        date_locked_until: erasure.locked_until.map(Date::from),
    }))
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Lockouts", "Wrong codes in a row of a number, the end of its lockout, and the erasure of a number. Not in \
            Twilio's API.", Group::twilio(Access::Scope(Scope::Admin)))
        .get("/v2/Services/{ServiceSid}/Lockouts/{To}", fetch, ok::<(), Lockout>("FetchLockout", "Fetch the lockout of a number")
                .about("404 without a wrong code or a lockout."))
        .delete("/v2/Services/{ServiceSid}/Lockouts/{To}", unlock, gone::<()>("DeleteLockout", "End the lockout of a number")
                .about("Ends a lockout and a hard stop, clears the counts, and voids the number's code."))
        .delete("/v2/Services/{ServiceSid}/Numbers/{To}", erase, ok::<(), Erasure>("DeleteNumber", "Erase a number")
                .about("Erases the verification, the counts, the attempts, the planned messages and the events about the number. A lockout that is in force stays until it ends. With the account's credentials or a key for all services the number also leaves the safe list. 200 for an unknown number too."))
}
