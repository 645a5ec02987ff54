//! The page for a browser that opens `/`: links to what is served.

use askama::Template;

use super::page::{Page, STYLE, STYLE_ONLY};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    style: &'static str,
    version: &'static str,
    has_inbox: bool,
}

/// The page for `GET /` with `Accept: text/html`. `has_inbox` says that the simulator runs.
pub fn home_page(has_inbox: bool) -> Page {
    let page = HomePage { style: STYLE, version: env!("CARGO_PKG_VERSION"), has_inbox };
    Page::html(&page, &STYLE_ONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_links_to_the_inbox_only_when_the_simulator_runs() {
        for has_inbox in [true, false] {
            let page = String::from_utf8(home_page(has_inbox).body.to_vec()).expect("UTF-8");
            for link in ["/docs", "/openapi.json", "/healthz", "/readyz"] {
                assert!(page.contains(&format!("<a href=\"{link}\">")), "{link} in {page}");
            }
            assert_eq!(page.contains("href=\"/inbox\""), has_inbox, "{page}");
            assert!(page.contains(env!("CARGO_PKG_VERSION")) && !page.contains("<script"), "{page}");
        }
    }
}
