//! `GET /inbox` and below: the simulator's pages.

use hyper::Uri;

use crate::http::answer::Answer;
use crate::http::deps::Pages;
use crate::http::problem::Problem;

/// The page at that address.
pub fn answer(pages: Option<&dyn Pages>, uri: &Uri) -> Result<Answer, Problem> {
    pages.and_then(|pages| pages.page(uri.path(), uri.query())).map(Answer::from).ok_or(Problem::NotFound)
}
