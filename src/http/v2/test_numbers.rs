//! `/v2/Services/{ServiceSid}/TestNumbers`: numbers that are never sent anything, with a known code. Not Twilio's.

use std::time::Duration;

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::TestNumberView;
use crate::http::answer::Answer;
use crate::registry::NewTestNumber;

/// How long a test number lasts where the request does not say it: long enough for a test, and forgotten by itself.
const LASTS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// `GET`.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let page = Page::read(&ask.query)?;
    let (found, has_more) = page.cut(service.test_numbers.iter().collect());
    let frame = ask.frame();
    let views = found.into_iter().map(|number| TestNumberView::new(&frame, service.sid, number)).collect();
    let url = frame.url(&format!("/Services/{}/TestNumbers", service.sid));
    let listed = page.listed("test_numbers", views, has_more, &url, (&ask.query, &[]));
    Ok(Answer::json(StatusCode::OK, &listed))
}

/// `POST`. One with the same pattern is replaced.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let force = value::boolean(fields, "Force")?.unwrap_or(false);
    if force && !ask.is_for_all_services() {
        return Err(Error::forbidden("Force needs the account's credentials, or a key for all services"));
    }
    let number = NewTestNumber {
        pattern: value::required("Pattern", fields.text("Pattern")?)?,
        code: value::required("Code", fields.text("Code")?)?,
        expires: value::moment(fields, "DateExpires")?.unwrap_or_else(|| ask.now().plus(LASTS)),
        force,
    };
    let made = ask.v2.registry.put_test_number(service, number).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &TestNumberView::new(&ask.frame(), service, &made)))
}

/// `DELETE` of one, by its pattern.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let pattern = ask.part(3)?.into_owned();
    ask.v2.registry.delete_test_number(service, pattern).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}
