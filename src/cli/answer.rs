//! The answer of a command: as JSON, or in words and tables.

use serde::Serialize;
use serde_json::{Value, json};

/// What a command prints, and its exit code.
#[derive(Debug, Default)]
pub struct CommandOutput {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    pub fn of(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }
}

pub fn one<T: Serialize>(answer: &T, json: bool, words: impl FnOnce(&T) -> String) -> CommandOutput {
    CommandOutput::of(if json { json_line(answer) } else { words(answer) })
}

/// A list as a table of some fields, with `none` in place of an empty one, or as one object on each line.
pub fn list<T: Serialize>(rows: &[T], json: bool, none: &str, fields: &str) -> CommandOutput {
    CommandOutput::of(if json {
        rows.iter().map(json_line).collect()
    } else if rows.is_empty() {
        format!("{none}\n")
    } else {
        table(rows, fields)
    })
}

/// A value as a line of JSON.
pub fn json_line(value: &impl serde::Serialize) -> String {
    // Texts, numbers and lists of them always have a form in JSON.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

/// A table of some fields of the JSON, with columns as wide as their longest cell.
pub fn table<T: Serialize>(rows: &[T], fields: &str) -> String {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let cells = |row: &T| {
        let row = json!(row);
        fields.iter().map(|field| shown(&row[*field])).collect()
    };
    let headings: Vec<String> = fields.iter().map(|field| field.to_uppercase()).collect();
    let table: Vec<Vec<String>> = std::iter::once(headings).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.extend([padded.join("  ").trim_end(), "\n"]);
    }
    out
}

/// A value in a table.
pub fn cell(value: impl Serialize) -> String {
    shown(&serde_json::to_value(value).unwrap_or_default())
}

/// A terminal obeys control characters, which a provider or a client may have put into a text.
fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A text of an answer of `/v2`; empty without it.
pub fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_default()
}

/// A number of things: `1 message`, `2 messages`.
pub fn counted(count: &Value, what: &str) -> String {
    format!("{count} {what}{}", if *count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_cell_for_every_value_and_no_control_characters() {
        let rows = [json!({"a": "SM\u{1b}1", "b": ["x", "y"], "c": true}), json!({"a": ""})];
        let list = |rows: &[_], json| super::list(rows, json, "none", "a b c").out;
        assert_eq!(list(&rows, false), "A     B    C\nSM?1  x,y  yes\n      -    -\n");
        assert_eq!(list(&rows, true).lines().count(), 2);
        assert_eq!(list(&[], false), "none\n");
    }
}
