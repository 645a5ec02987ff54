//! `POST /v2/Services/{ServiceSid}/VerificationCheck`: checks a code.

use hyper::StatusCode;
use tracing::{debug, info};

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::value;
use super::view::CheckView;
use crate::domain::{Code, CodeLength, ServiceId, SidKind};
use crate::http::answer::Answer;
use crate::verify::{CheckCode, Status, Target};

/// What Twilio reads here and this server does not.
const NOT_SERVED: [&str; 3] = ["Amount", "Payee", "SnaClientToken"];

/// Checks a code. A wrong one is answered with 200 and `pending`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?;
    value::none_of(fields, &NOT_SERVED)?;
    let code = code(fields)?;
    let target = target(ask, service.id, fields).await?;
    let outcome = ask.v2.verifications.check(service.id, CheckCode { target, code }).await;
    let verification = outcome.map_err(|refused| ask.refused(refused))?;
    let (number, status) = (verification.to, verification.status);
    if status == Status::MaxAttemptsReached {
        info!(request_id = ask.request_id, %number, outcome = status.as_str(), "no check is left");
    } else {
        debug!(request_id = ask.request_id, %number, outcome = status.as_str(), "code checked");
    }
    Ok(Answer::json(StatusCode::OK, &CheckView::new(&ask.frame(), service.sid, &verification)))
}

/// What was submitted. Text of the right length that is no code is a wrong code: a guess all the same.
fn code(fields: &Fields) -> Result<Option<Code>, Error> {
    let name = "Code";
    let text = value::required(name, fields.text(name)?)?;
    let lengths = usize::from(CodeLength::MIN)..=usize::from(CodeLength::MAX);
    if !lengths.contains(&text.chars().count()) {
        return Err(Error::parameter(name, "it must have 4 to 10 characters"));
    }
    Ok(Code::parse(&text))
}

/// Whose code it is. With an id and a number, the number must be the id's: it is looked up before anything is counted.
async fn target(ask: &Ask<'_>, service: ServiceId, fields: &Fields) -> Result<Target, Error> {
    let number = value::number(fields, "To")?;
    let sid = value::sid(fields, "VerificationSid", SidKind::Verification)?;
    match (sid, number) {
        (Some(sid), None) => Ok(Target::Sid(sid)),
        (None, Some(number)) => Ok(Target::Number(number)),
        (Some(sid), Some(number)) => {
            let found = ask.v2.verifications.fetch(service, Target::Sid(sid)).await;
            let found = found.map_err(|refused| ask.refused(refused))?;
            if found.to == number { Ok(Target::Sid(sid)) } else { Err(ask.not_found()) }
        }
        (None, None) => Err(Error::invalid("Invalid parameters: `To` or `VerificationSid` must be given")),
    }
}
