//! The simulator's inbox behind the front end's [`Pages`].

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::{Page, Pages};
use crate::domain::PhoneNumber;
use crate::gateway::Simulator;
use crate::web;

/// `/inbox` and `/inbox/messages`.
pub struct InboxPages {
    simulator: Arc<Simulator>,
}

impl InboxPages {
    /// Pages over one simulator's messages.
    pub fn new(simulator: Arc<Simulator>) -> Self {
        Self { simulator }
    }
}

impl Pages for InboxPages {
    fn page(&self, path: &str, query: Option<&str>) -> Option<Page> {
        match path {
            "/inbox" | "/inbox/" => Some(page_of(web::inbox_page())),
            "/inbox/messages" => Some(match wanted_number(query.unwrap_or_default()) {
                Ok(to) => page_of(web::inbox_messages(&self.simulator, to)),
                Err(NotANumber) => Page {
                    status: StatusCode::BAD_REQUEST,
                    content_type: "application/json",
                    body: Bytes::from_static(br#"{"code":400,"message":"`to` is not a phone number in E.164 form"}"#),
                    headers: Vec::new(),
                },
            }),
            _ => None,
        }
    }
}

struct NotANumber;

/// The number of `?to=`. A `+` that was not percent-encoded arrives as a space, or people leave it
/// out; both are understood.
fn wanted_number(query: &str) -> Result<Option<PhoneNumber>, NotANumber> {
    let Some((_, to)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "to") else {
        return Ok(None);
    };
    let digits = to.trim().trim_start_matches('+');
    if digits.is_empty() {
        return Ok(None);
    }
    PhoneNumber::parse(&format!("+{digits}"), None).map(Some).map_err(|_| NotANumber)
}

fn page_of(page: web::Page) -> Page {
    let headers = page.headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    Page {
        status: StatusCode::OK,
        content_type: page.content_type,
        headers: headers.collect(),
        body: page.body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_may_be_encoded_or_bare_or_missing() {
        let expected = PhoneNumber::from_u64(14_155_552_671);
        for query in ["to=%2B14155552671", "to=+14155552671", "to=14155552671", "x=1&to=%2B1%20415%20555%202671"] {
            assert_eq!(wanted_number(query).ok().flatten(), expected, "{query}");
        }
        assert!(matches!(wanted_number(""), Ok(None)));
        assert!(matches!(wanted_number("to="), Ok(None)));
        assert!(wanted_number("to=hello").is_err());
    }

    #[test]
    fn every_header_of_a_page_is_sent() {
        let page = page_of(web::inbox_page());
        assert_eq!(page.headers.len(), web::inbox_page().headers.len());
    }
}
