//! `/v2/SafeList/Numbers`: numbers that are not suspected of anything.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::value;
use super::view::SafeNumberView;
use crate::domain::PhoneNumber;
use crate::http::answer::Answer;
use crate::registry::SafeNumber;

/// `POST`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let number = value::required("PhoneNumber", value::number(fields, "PhoneNumber")?)?;
    let made = ask.v2.registry.add_safe_number(number).await.map_err(|error| ask.failed(error))?;
    Ok(shown(ask, StatusCode::CREATED, made))
}

/// `GET` of one.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let found = ask.v2.registry.safe_number(number(ask)?).map_err(|error| ask.failed(error))?;
    Ok(shown(ask, StatusCode::OK, found))
}

/// `DELETE` of one.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    ask.v2.registry.remove_safe_number(number(ask)?).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}

fn shown(ask: &Ask<'_>, status: StatusCode, SafeNumber { sid, number, created: _ }: SafeNumber) -> Answer {
    Answer::json(status, &SafeNumberView::new(&ask.frame(), sid, number))
}

/// The path's last part.
fn number(ask: &Ask<'_>) -> Result<PhoneNumber, Error> {
    PhoneNumber::parse(&ask.part(2)?, None).map_err(|_| ask.not_found())
}
