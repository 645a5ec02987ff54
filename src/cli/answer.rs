//! How commands print the answer of a server: as JSON, or in words and tables.

use serde::Serialize;
use serde_json::Value;

use super::{CommandOutput, json_line};

pub fn one<T: Serialize>(answer: &T, json: bool, words: impl FnOnce(&T) -> String) -> CommandOutput {
    CommandOutput::of(if json { json_line(answer) } else { words(answer) })
}

/// A list as a table, with `none` in place of an empty one, or as one object on each line. The columns are headings and
/// the names of fields.
pub fn list(rows: &Value, json: bool, none: &str, columns: &[(&str, &str)]) -> CommandOutput {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    CommandOutput::of(if json {
        rows.iter().map(json_line).collect()
    } else if rows.is_empty() {
        format!("{none}\n")
    } else {
        table(columns, rows)
    })
}

/// A table with columns as wide as their longest cell.
pub fn table(columns: &[(&str, &str)], rows: &[Value]) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let cells = |row: &Value| columns.iter().map(|(_, field)| cell(&row[*field])).collect();
    let table: Vec<Vec<String>> = std::iter::once(headings).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.extend([padded.join("  ").trim_end(), "\n"]);
    }
    out
}

/// A value in a table. A terminal obeys control characters, which a provider or a client may have put into a text.
fn cell(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A text of an answer; empty without it.
pub fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_cell_for_every_value_and_no_control_characters() {
        let rows = json!([{"a": "SM\u{1b}1", "b": ["x", "y"], "c": true}, {"a": null, "b": 7, "c": false}]);
        let list = |json| list(&rows, json, "none", &[("A", "a"), ("B", "b"), ("C", "c")]).out;
        assert_eq!(list(false), "A     B    C\nSM?1  x,y  yes\n-     7    -\n");
        assert_eq!(list(true).lines().count(), 2);
        assert_eq!(super::list(&json!([]), false, "none", &[("A", "a")]).out, "none\n");
    }
}
