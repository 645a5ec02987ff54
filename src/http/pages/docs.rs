//! The page that describes every route, for people. It asks for nothing from elsewhere and has no
//! script, so that it works offline, with a keyboard alone, and read aloud.

use askama::Template;

use super::{Page, STYLE, STYLE_ONLY};

/// What the page shows.
pub struct Docs {
    pub title: &'static str,
    pub version: &'static str,
    pub about: &'static str,
    pub access: &'static str,
    pub groups: Vec<DocsGroup>,
}

/// Routes that belong together.
pub struct DocsGroup {
    pub name: &'static str,
    pub anchor: String,
    pub about: &'static str,
    pub routes: Vec<DocsRoute>,
}

/// A method at a path.
pub struct DocsRoute {
    pub anchor: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    pub about: &'static str,
    pub access: &'static str,
    pub params: Vec<DocsParam>,
    pub curl: String,
    pub answers: Vec<DocsAnswer>,
    /// A good answer's body; empty if it has none.
    pub example: String,
}

/// A parameter.
pub struct DocsParam {
    pub name: String,
    /// Where it goes: `path`, `header`, `query` or `body`.
    pub place: &'static str,
    pub required: bool,
    pub accepts: String,
    pub about: String,
}

/// A status and what it means.
pub struct DocsAnswer {
    pub status: u16,
    pub about: &'static str,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage<'a> {
    style: &'a str,
    docs: &'a Docs,
}

/// The page for `GET /docs`.
pub fn docs_page(docs: &Docs) -> Page {
    Page::html(&DocsPage { style: STYLE, docs }, &STYLE_ONLY)
}

#[cfg(test)]
mod tests {
    use super::super::csp_hash;
    use super::*;

    fn page() -> String {
        let route = DocsRoute {
            anchor: "ChangeThing",
            method: "POST",
            path: "/v2/Things/{Sid}",
            summary: "Change a thing",
            about: "More about it.",
            access: "Needs a key.",
            params: vec![DocsParam {
                name: "Max".to_owned(),
                place: "body",
                required: true,
                accepts: "1 to 9".to_owned(),
                about: "How many.".to_owned(),
            }],
            curl: "curl -X POST 'x'".to_owned(),
            answers: vec![DocsAnswer { status: 200, about: "Fine." }],
            example: r#"{"a":1}"#.to_owned(),
        };
        let group = DocsGroup {
            name: "Some routes",
            anchor: "some-routes".to_owned(),
            about: "What they do.",
            routes: vec![route],
        };
        let docs = Docs {
            title: "<onceward>",
            version: "1",
            about: "About & more.",
            access: "User.",
            groups: vec![group],
        };
        String::from_utf8(docs_page(&docs).body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_route_is_shown_with_its_parameters_a_call_and_its_answers() {
        let page = page();
        for part in [
            "<h2 id=\"some-routes\">Some routes</h2>",
            "<a href=\"#ChangeThing\">Change a thing</a>",
            "<code>/v2/Things/{Sid}</code>",
            "<code>Max</code> <em>required</em></th><td>body</td><td>1 to 9</td><td>How many.</td>",
            "curl -X POST &#39;x&#39;",
            "{&#34;a&#34;:1}",
            "<th scope=\"row\">200</th><td>Fine.</td>",
            "More about it. Needs a key.",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn what_a_text_says_is_never_markup() {
        let page = page();
        assert!(page.contains("&#60;onceward&#62;") && page.contains("About &#38; more."), "{page}");
        assert!(!page.contains("<onceward>"));
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing() {
        let page = page();
        for part in ["<script", "http-equiv", "<img", "stylesheet", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
        let policy = STYLE_ONLY[0].1;
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let style =
            page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        assert!(policy.contains(&csp_hash(style)), "{policy}");
    }
}
