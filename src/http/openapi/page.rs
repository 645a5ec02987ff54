//! The table of routes as the page shows it to people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{ACCESS, INTRODUCTION, JSON, answer_example, failures, meaning, path_params};
use crate::http::route::{Access, Group, Route, Verb};
use crate::http::routes::GROUPS;
use crate::http::v2::params::Param;
use crate::web::{Docs, DocsAnswer, DocsGroup, DocsParam, DocsRoute};

/// Where a person tries the calls.
const HERE: &str = "http://localhost:3000";

/// Everything.
pub fn made() -> Docs {
    Docs {
        title: "onceward",
        version: env!("CARGO_PKG_VERSION"),
        about: INTRODUCTION,
        access: ACCESS,
        groups: GROUPS.into_iter().map(group).collect(),
    }
}

fn group(group: &'static Group) -> DocsGroup {
    DocsGroup {
        name: group.name,
        anchor: group.name.to_lowercase().replace(' ', "-"),
        about: group.about,
        routes: group.routes.iter().map(|route| shown(group, route)).collect(),
    }
}

fn shown(group: &Group, route: &'static Route) -> DocsRoute {
    let success = DocsAnswer { status: route.success.status, about: route.success.about };
    let failures = failures(group, route).into_iter();
    let failures = failures.map(|status| DocsAnswer { status, about: meaning(status) });
    let place = if route.verb == Verb::Get { "query" } else { "body" };
    let places = [("path", path_params(route)), ("header", (route.headers)()), (place, route.params())];
    let params = places.into_iter().flat_map(|(place, params)| {
        params.into_iter().map(move |param| {
            let accepts = param.accepts();
            DocsParam { name: param.name, place, required: param.required, accepts, about: param.about }
        })
    });
    DocsRoute {
        anchor: route.id,
        method: route.verb.as_str(),
        path: route.path,
        summary: route.summary,
        about: route.about,
        access: match route.access.unwrap_or(group.access) {
            Access::Open => "No credential is needed.",
            Access::Compatible => "Needs an API key where the server asks for one.",
            Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
                "Needs the account's token or an API key."
            }
        },
        params: params.collect(),
        curl: curl(group, route),
        answers: std::iter::once(success).chain(failures).collect(),
        example: answer_example(route).unwrap_or_default(),
    }
}

/// A call that can be tried.
fn curl(group: &Group, route: &Route) -> String {
    let text = |example: &Value| example.as_str().map_or_else(|| example.to_string(), str::to_owned);
    let mut path = route.path.to_owned();
    for param in path_params(route) {
        path = path.replace(&format!("{{{}}}", param.name), &text(&param.example).replace('+', "%2B"));
    }
    let mut call = String::from("curl ");
    if route.verb != Verb::Get {
        let _ = write!(call, "-X {} ", route.verb.as_str());
    }
    let _ = write!(call, "{HERE}{path}");
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
    // A change needs nothing; one thing shows how it goes.
    let first = params.first().filter(|_| required().next().is_none());
    for Param { name, example, .. } in required().chain(first) {
        let example = text(example.get(0).unwrap_or(example));
        let _ = write!(call, " \\\n  --data-urlencode '{name}={example}'");
    }
    call
}
