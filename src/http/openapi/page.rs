//! The tables as the page shows them to people.

use std::fmt::Write as _;

use serde_json::Value;

use super::build::{answer_example, example, failures};
use super::endpoint::{Access, Dialect, Endpoint, Method, Param, Type};
use super::{ACCESS, DIALECTS, INTRODUCTION, statuses};
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
        groups: DIALECTS.into_iter().map(group).collect(),
    }
}

fn group(dialect: &'static Dialect) -> DocsGroup {
    DocsGroup {
        name: dialect.name,
        anchor: dialect.name.to_lowercase().replace(' ', "-"),
        about: dialect.about,
        routes: dialect.endpoints.iter().map(|endpoint| route(dialect, endpoint)).collect(),
    }
}

fn route(dialect: &Dialect, endpoint: &'static Endpoint) -> DocsRoute {
    let success = DocsAnswer { status: endpoint.success.status, about: endpoint.success.about };
    let failures = failures(dialect, endpoint).into_iter();
    let failures = failures.map(|status| DocsAnswer { status, about: statuses::meaning(status) });
    let places = [
        ("path", endpoint.in_path),
        ("query", endpoint.in_query),
        ("header", endpoint.in_header),
        ("body", endpoint.in_body),
    ]
    .into_iter();
    DocsRoute {
        anchor: endpoint.id,
        method: method(endpoint),
        path: endpoint.path,
        summary: endpoint.summary,
        about: endpoint.about,
        access: match dialect.access {
            Access::Open => "Everybody may ask.",
            Access::MayNeedKey => "Needs an API key where the server asks for one.",
            Access::NeedsKey => "Needs the account's token or an API key.",
        },
        params: places
            .flat_map(|(place, params)| params.iter().map(move |param| shown(place, param)))
            .collect(),
        curl: curl(dialect, endpoint),
        answers: std::iter::once(success).chain(failures).collect(),
        example: answer_example(endpoint).unwrap_or_default(),
    }
}

fn shown(place: &'static str, param: &Param) -> DocsParam {
    let Param { name, required, about, .. } = *param;
    DocsParam { name, place, required, accepts: accepts(param.kind), about }
}

const fn method(endpoint: &Endpoint) -> &'static str {
    match endpoint.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    }
}

/// What a value may be, in words.
fn accepts(kind: Type) -> String {
    match kind {
        Type::Text(longest) | Type::Note(longest) | Type::Line(longest) | Type::Name(longest) => {
            format!("text, at most {longest} characters")
        }
        Type::Pattern(_) => "text".to_owned(),
        Type::Words(words) => words.join(" | "),
        Type::Whole(least, most) => format!("{least} to {most}"),
        Type::Boolean => "true | false".to_owned(),
        Type::Date => "date".to_owned(),
        Type::Events => "names of events".to_owned(),
        Type::Pairs => "JSON object".to_owned(),
        Type::User => "object with phoneNumber".to_owned(),
    }
}

/// A call that can be tried.
fn curl(dialect: &Dialect, endpoint: &Endpoint) -> String {
    let mut path = endpoint.path.to_owned();
    for param in endpoint.in_path {
        path = path.replace(&format!("{{{}}}", param.name), &param.example.replace('+', "%2B"));
    }
    let mut call = String::from("curl ");
    if endpoint.method != Method::Get {
        let _ = write!(call, "-X {} ", method(endpoint));
    }
    let _ = write!(call, "{HERE}{path}");
    if dialect.access == Access::NeedsKey {
        call.push_str(" \\\n  -u \"$ACCOUNT_SID:$AUTH_TOKEN\"");
    }
    let required = || endpoint.in_body.iter().filter(|param| param.required);
    if dialect.bodies.first() == Some(&"application/json") && endpoint.method == Method::Post {
        let body: serde_json::Map<String, Value> =
            required().map(|param| (param.name.to_owned(), example(param))).collect();
        let _ = write!(call, " \\\n  -H 'content-type: application/json' \\\n  -d '{}'", Value::Object(body));
        return call;
    }
    // A change needs nothing; one thing shows how it goes.
    let first = endpoint.in_body.first().filter(|_| required().next().is_none());
    for param in required().chain(first) {
        let _ = write!(call, " \\\n  --data-urlencode '{}={}'", param.name, param.example);
    }
    call
}
