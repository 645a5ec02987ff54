//! The JSON of a run: the results, and what they come to under `summary`.

use serde::Serialize;

use super::finite::finite;
use super::summary::{Summary, summary};
use crate::bench::results::Results;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    results: &'a Results,
    summary: Summary,
}

/// The results as one object, with the fields of [`Results`] and `summary`, indented; it ends with a line feed. It can
/// be read as `Results` again. Figures that are no numbers are left out, or zero where the form needs one.
pub fn json(results: &Results) -> String {
    let results = finite(results);
    let document = Document { summary: summary(&results), results: &results };
    // Neither a key that is no text nor a failing writer is possible here.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
