//! The simulator's inbox behind the front end's [`Pages`].

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
            Ok(page) => Some(page_of(page)),
            Err(InboxError::NoSuchPage) => None,
            Err(error @ InboxError::BadNumber(_)) => {
                let status = StatusCode::BAD_REQUEST;
                let body = Answer::plain(status, &error.to_string()).body;
                Some(Page { status, content_type: "application/json", body, headers: Vec::new() })
            }
        }
    }
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
    fn every_header_of_a_page_is_sent() {
        let page = page_of(web::inbox_page());
        assert_eq!(page.headers.len(), web::inbox_page().headers.len());
    }
}
