//! `GET /inbox` and below: the simulator's pages.

use hyper::http::request::Parts;

use crate::http::answer::Answer;
use crate::http::browser;
use crate::http::deps::Deps;
use crate::http::problem::Problem;

/// The page at that address. The pages show codes, so no page of somebody else may read them.
pub fn answer<V>(deps: &Deps<V>, head: &Parts) -> Result<Answer, Problem> {
    let pages = deps.pages.as_deref().ok_or(Problem::NotFound)?;
    if !browser::names_this_server(head, deps.host_name.as_deref()) {
        return Err(Problem::ForeignHost);
    }
    pages.page(head.uri.path(), head.uri.query()).map(Answer::from).ok_or(Problem::NotFound)
}
