//! The page that describes every route, for people. It loads nothing from other hosts and has no script: it works offline,
//! with a keyboard alone, and read aloud.

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use serde_json::Value;

use super::{Frame, STYLE_ONLY, html};
use crate::http::openapi::{self, ACCESS, INTRODUCTION, JSON};
use crate::http::response::{Problem, Response};
use crate::http::route::{Access, ApiGroup, Route, Verb};
use crate::http::routes::GROUPS;
use crate::http::service::Call;
use crate::http::v2::params::Param;

/// The server of the calls on the page.
const HERE: &str = "http://localhost:3000";

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
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
    route: &'static Route,
    access: &'static str,
    /// Each with its place: `path`, `header`, `query` or `body`.
    params: Vec<(&'static str, Param)>,
    curl: String,
    responses: Vec<(u16, &'static str)>,
    /// Empty if a good response has no JSON.
    example: String,
}

/// Without and with a link to the inbox.
static PAGES: [LazyLock<Response>; 2] = [LazyLock::new(|| page(false)), LazyLock::new(|| page(true))];

/// The page for `GET /docs`.
#[expect(clippy::unnecessary_wraps, reason = "the table of routes takes one form of handlers")]
pub fn docs_page(call: &Call<'_>) -> Result<Response, Problem> {
    Ok(PAGES[usize::from(call.deps.inbox.is_some())].clone())
}

fn page(has_inbox: bool) -> Response {
    let groups = GROUPS.into_iter().map(docs_group).filter(|group| !group.routes.is_empty()).collect();
    let frame = Frame::new("/docs", has_inbox);
    html(&DocsPage { frame, introduction: INTRODUCTION, access: ACCESS, groups }, &STYLE_ONLY)
}

fn docs_group(group: &'static ApiGroup) -> DocsGroup {
    let routes = group.routes.iter().filter(|route| route.is_described());
    let routes = routes.map(|route| docs_route(group, route)).collect();
    DocsGroup { group, anchor: group.name.to_lowercase().replace(' ', "-"), routes }
}

fn docs_route(group: &ApiGroup, route: &'static Route) -> DocsRoute {
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
fn curl(group: &ApiGroup, route: &Route) -> String {
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

    fn page() -> String {
        String::from_utf8(super::page(true).body.to_vec()).expect("UTF-8")
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
