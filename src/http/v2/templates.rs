//! `/v2/Templates`: texts of messages that services and requests can choose.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::page::Page;
use super::value;
use super::view::TemplateView;
use crate::http::answer::Answer;

/// Longest name that is looked for.
const LONGEST_NAME: usize = 64;

/// `GET`: all, or those with this friendly name.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let page = Page::read(&ask.query)?;
    let name = value::text(&ask.query, "FriendlyName", LONGEST_NAME)?;
    let all = ask.v2.registry.templates();
    let wanted =
        all.into_iter().filter(|template| name.as_ref().is_none_or(|name| *name == template.friendly_name));
    let (templates, has_more) = page.cut(wanted.collect());
    let frame = ask.frame();
    let views = templates.iter().map(|template| TemplateView::new(&frame, template)).collect();
    let url = frame.url("/Templates");
    Ok(Answer::json(
        StatusCode::OK,
        &page.listed("templates", views, has_more, &url, (&ask.query, &["FriendlyName"])),
    ))
}
