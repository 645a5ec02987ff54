//! The simulator's inbox behind the front end's [`Pages`], and its pages as responses.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::answer::Answer;
use super::{Page, Pages};
use crate::domain::Region;
use crate::web::{self, InboxError, Simulator};

/// `/inbox` and `/inbox/messages`.
pub struct InboxPages {
    simulator: Arc<Simulator>,
    default_region: Option<Region>,
}

impl InboxPages {
    /// Pages over one simulator's messages; `default_region` reads `?to=` as the API reads numbers.
    pub fn new(simulator: Arc<Simulator>, default_region: Option<Region>) -> Self {
        Self { simulator, default_region }
    }
}

impl Pages for InboxPages {
    fn page(&self, path: &str, query: Option<&str>) -> Option<Page> {
        match web::inbox(&self.simulator, self.default_region, path, query) {
            Ok(page) => Some(page.into()),
            Err(InboxError::NoSuchPage) => None,
            Err(error @ InboxError::BadNumber(_)) => {
                let status = StatusCode::BAD_REQUEST;
                let body = Answer::plain(status, &error.to_string()).body;
                Some(Page { status, content_type: "application/json", body, headers: Vec::new() })
            }
        }
    }
}

impl From<web::Page> for Page {
    fn from(page: web::Page) -> Self {
        let (status, content_type, body) = (StatusCode::OK, page.content_type, page.body);
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Self { status, content_type, body, headers: page.headers.iter().map(header).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_of_a_page_is_sent() {
        let page = Page::from(web::inbox_page());
        assert_eq!(page.headers.len(), web::inbox_page().headers.len());
    }
}
