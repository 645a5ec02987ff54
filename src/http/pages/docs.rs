//! The page that describes every route, and the search in it, for people. It loads nothing from other hosts and has no
//! script: it works offline, with a keyboard alone, and read aloud.

use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};

use askama::Template;
use axum::response::Response;
use serde_json::Value;

use super::{Frame, Headers, html, html_headers};
use crate::http::api::params::Param;
use crate::http::call::Call;
use crate::http::openapi::{self, ACCESS, INTRODUCTION, JSON};
use crate::http::request;
use crate::http::response::Fixed;
use crate::http::route::{Access, ApiGroup, Operation, Verb};

/// The server of the calls on the page.
const HERE: &str = "http://localhost:3000";

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    query: &'static str,
    introduction: &'static str,
    access: &'static str,
    groups: Vec<DocsGroup>,
}

struct DocsGroup {
    group: &'static ApiGroup,
    anchor: String,
    routes: Vec<DocsRoute>,
}

/// A route, and what follows from its entry in the table.
struct DocsRoute {
    route: &'static Operation,
    access: &'static str,
    /// Each with its place: `path`, `header`, `query` or `body`.
    params: Vec<(&'static str, Param)>,
    curl: String,
    responses: Vec<(u16, &'static str)>,
    /// Empty if a good response has no JSON.
    example: String,
}

/// The headers of pages without a script, and with the form of the search.
static HEADERS: LazyLock<Headers> = LazyLock::new(|| html_headers("form-action 'self'; "));

/// The routes that are found.
#[derive(Template)]
#[template(path = "docs_search.html")]
struct SearchPage<'a> {
    frame: Frame,
    query: &'a str,
    found: Vec<&'static Operation>,
}

/// The longest text that is searched for.
const LONGEST_QUERY: usize = 100;

/// The page for `GET /docs?q=`.
pub fn page(call: &Call, groups: &'static [(ApiGroup, Vec<Operation>)]) -> Response {
    /// Without and with a link to the inbox.
    static PAGES: [OnceLock<Fixed>; 2] = [const { OnceLock::new() }; 2];
    let has_inbox = call.app.inbox.is_some();
    let query = request::form_field(call.query().as_bytes(), "q");
    let query: String = query.unwrap_or_default().trim().chars().take(LONGEST_QUERY).collect();
    if query.is_empty() {
        let page = PAGES[usize::from(has_inbox)].get_or_init(|| Fixed::new(whole(groups, has_inbox)));
        return page.answer(&call.head.headers);
    }
    let found = found(groups, &query);
    html(&SearchPage { frame: Frame::new("/docs", has_inbox), query: &query, found }, &HEADERS)
}

fn whole(groups: &'static [(ApiGroup, Vec<Operation>)], has_inbox: bool) -> Response {
    let groups = groups.iter().map(|(group, routes)| docs_group(group, routes));
    let groups = groups.filter(|group| !group.routes.is_empty()).collect();
    let frame = Frame::new("/docs", has_inbox);
    html(&DocsPage { frame, query: "", introduction: INTRODUCTION, access: ACCESS, groups }, &HEADERS)
}

/// The routes with every word of the query in their names, paths, parameters or descriptions.
fn found(groups: &'static [(ApiGroup, Vec<Operation>)], query: &str) -> Vec<&'static Operation> {
    static TEXTS: OnceLock<Vec<(String, &'static Operation)>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| {
        let routes = groups.iter().flat_map(|(group, routes)| routes.iter().map(move |route| (group, route)));
        let routes = routes.filter(|(_, route)| route.is_described());
        routes.map(|(group, route)| (searched(group, route), route)).collect()
    });
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let has_all = |text: &str| words.iter().all(|word| text.contains(word.as_str()));
    texts.iter().filter(|(text, _)| has_all(text)).map(|(_, route)| *route).collect()
}

fn searched(group: &ApiGroup, route: &Operation) -> String {
    let mut text = [group.name, route.verb.as_str(), route.path, route.summary, route.about].join("\n");
    for param in route.params().into_iter().chain((route.headers)()) {
        text = [text, param.name, param.about].join("\n");
    }
    text.to_lowercase()
}

fn docs_group(group: &'static ApiGroup, routes: &'static [Operation]) -> DocsGroup {
    let routes = routes.iter().filter(|route| route.is_described());
    let routes = routes.map(|route| docs_route(group, route)).collect();
    DocsGroup { group, anchor: group.name.to_lowercase().replace(' ', "-"), routes }
}

fn docs_route(group: &ApiGroup, route: &'static Operation) -> DocsRoute {
    let place = if route.verb == Verb::Get { "query" } else { "body" };
    let places =
        [("path", openapi::path_params(route)), ("header", (route.headers)()), (place, route.params())];
    let failures = openapi::failures(group, route).into_iter();
    let failures = failures.map(|status| (status, openapi::meaning(status)));
    DocsRoute {
        route,
        access: match route.access.unwrap_or(group.access) {
            Access::Open => "No credential is needed.",
            Access::Compatible => "Needs an API key if the server requires one.",
            Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
                "Needs the account's token or an API key."
            }
        },
        params: places
            .into_iter()
            .flat_map(|(place, params)| params.into_iter().map(move |param| (place, param)))
            .collect(),
        curl: curl(group, route),
        responses: std::iter::once((route.success.status, route.success.about)).chain(failures).collect(),
        example: openapi::success_example(route, &mut openapi::schemas()).unwrap_or_default(),
    }
}

/// A call that a person can try.
fn curl(group: &ApiGroup, route: &Operation) -> String {
    let mut call = String::from("curl ");
    if route.verb != Verb::Get {
        let _ = write!(call, "-X {} ", route.verb.as_str());
    }
    let _ = write!(call, "{HERE}{}", openapi::path_example(route));
    if route.access.unwrap_or(group.access).needs_credential() {
        call.push_str(" \\\n  -u \"$ACCOUNT_SID:$AUTH_TOKEN\"");
    }
    if route.verb != Verb::Post {
        return call;
    }
    let params = route.params();
    let required = || params.iter().filter(|param| param.required);
    if group.bodies.first() == Some(&JSON) {
        let body: serde_json::Map<String, Value> =
            required().map(|param| (param.name.clone(), param.example.clone())).collect();
        let _ = write!(call, " \\\n  -H 'content-type: application/json' \\\n  -d '{}'", Value::Object(body));
        return call;
    }
    // No parameter of a change is required: one shows how to send it.
    let first = params.first().filter(|_| required().next().is_none());
    for Param { name, example, .. } in required().chain(first) {
        let example = example.get(0).unwrap_or(example);
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        let _ = write!(call, " \\\n  --data-urlencode '{name}={example}'");
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::csp_hash;
    use crate::http::response;
    use crate::http::routes::GROUPS;

    fn page() -> String {
        let page = response::whole(super::whole(&GROUPS, true).into_body()).expect("no stream");
        String::from_utf8(page.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_route_is_shown_with_its_parameters_a_call_and_its_responses() {
        let page = page();
        for part in [
            "<h2 id=\"rate-limits\">Rate limits</h2>",
            "<a href=\"#ListRateLimit\">List rate limits</a>",
            "<code>/v2/Services/{ServiceSid}/RateLimits/{Sid}</code>",
            "<code>Max</code> <em>required</em></th><td>body</td><td>1 to 1000000</td><td>Requests.</td>",
            "<code>DateCreatedAfter</code></th><td>query</td><td>a date such as 2015-07-30T20:00:00Z</td>",
            "--data-urlencode &#39;UniqueName=session&#39;",
            "  &#34;unique_name&#34;: &#34;session&#34;,",
            "<th scope=\"row\">201</th><td>Created.</td>",
            "Without buckets it counts nothing yet. Needs the account&#39;s token or an API key.",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn a_search_finds_routes_by_every_word_of_it() {
        let ids = |query| found(&GROUPS, query).into_iter().map(|route| route.id).collect::<Vec<_>>();
        assert_eq!(ids("FailedOnly replay"), ["CreateReplay"]);
        assert_eq!(ids("bucket DELETE"), ["DeleteBucket"]);
        assert!(ids("nothing-like-this").is_empty() && ids("verification").len() > 5);
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing() {
        let page = page();
        for part in ["<script", "http-equiv", "<img", "stylesheet", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
        let policy = HEADERS[0].1;
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let style =
            page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        assert!(policy.contains(&csp_hash(style)), "{policy}");
    }
}
