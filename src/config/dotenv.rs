//! The `.env` file: read like variables, without touching the environment of the process.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use super::report::Report;
use super::sources::read_text;

/// The variables of the `.env` file in `directory`, if there is one. A later line of the same name
/// wins, as it does in the Redis version and in the tutorial.
pub fn read(directory: &Path, report: &mut Report) -> BTreeMap<String, String> {
    let path = directory.join(".env");
    let file = path.display().to_string();
    match read_text(&path) {
        Ok(Some(text)) => parse(&text, &file, report),
        Ok(None) => BTreeMap::new(),
        Err(reason) => {
            report.problem(file, reason, None);
            BTreeMap::new()
        }
    }
}

fn parse(text: &str, file: &str, report: &mut Report) -> BTreeMap<String, String> {
    let text = text.split_inclusive('\n').map(quoted_if_it_needs_to_be).collect::<String>();
    let mut variables = BTreeMap::new();
    let line = Rc::new(Cell::new(0));
    for item in dotenvy::from_read_iter(LineByLine { rest: text.as_bytes(), line: Rc::clone(&line) }) {
        match item {
            Ok((name, value)) => {
                variables.insert(name, value);
            }
            // The error of dotenvy quotes the line, and the line may hold a secret.
            Err(_) => report.problem(
                format!("{file}, line {}", line.get()),
                "it must be NAME=value. A value with quotes, $ or # needs quotes around it: \
                 NAME='a value'",
                None,
            ),
        }
    }
    variables
}

/// The readers of the systems that we replace take `NAME=two words` as it stands, up to a comment;
/// dotenvy wants quotes there. A line with quotes, `$` or `\` of its own is left as it is.
fn quoted_if_it_needs_to_be(line: &str) -> Cow<'_, str> {
    let Some((name, value)) = line.split_once('=') else { return line.into() };
    let value = value.split_once(" #").map_or(value, |(value, _comment)| value).trim();
    let plain = !value.contains(['\'', '"', '$', '\\', '#']) && !name.trim_start().starts_with('#');
    if plain && value.contains(char::is_whitespace) {
        format!("{name}='{value}'\n").into()
    } else {
        line.into()
    }
}

/// Hands out one line per read and counts them: dotenvy reads no further than it needs, so the
/// count is the line that an error is about.
struct LineByLine<'a> {
    rest: &'a [u8],
    line: Rc<Cell<usize>>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line_end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(line_end.min(buffer.len()));
        buffer[..line.len()].copy_from_slice(line);
        let ends = line.ends_with(b"\n") || (rest.is_empty() && !line.is_empty());
        self.line.set(self.line.get() + usize::from(ends));
        self.rest = rest;
        Ok(line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_exports_and_empty_values_are_understood() {
        let text = "# a comment\nA=1\nexport B='two words'\r\nC=\"x # y\" # z\n\nD=\nE = 5\nF={code}\n";
        let (variables, errors) = parsed(text);
        assert_eq!(errors, Vec::<String>::new());
        for (name, value) in
            [("A", "1"), ("B", "two words"), ("C", "x # y"), ("D", ""), ("E", "5"), ("F", "{code}")]
        {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn a_value_of_several_words_needs_no_quotes() {
        let text = "A=+1 415 555 2671\r\nexport B = two  words # and a comment\n# C=not this one\nD=x y";
        let (variables, errors) = parsed(text);
        assert_eq!(errors, Vec::<String>::new());
        let expected = [("A", "+1 415 555 2671"), ("B", "two  words"), ("D", "x y")];
        assert_eq!(variables.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn the_last_line_of_a_name_wins() {
        assert_eq!(parsed("A=1\nA=2").0.get("A").map(String::as_str), Some("2"));
    }

    #[test]
    fn every_bad_line_is_named_by_its_number_and_never_quoted() {
        let (variables, errors) = parsed("A=1\nTOKEN=hunter2 $$ secret\n\nB=2\nhunter3\nC='open\n");
        assert_eq!(variables.len(), 2);
        let [first, second, third] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(first.starts_with(".env, line 2"), "{first}");
        assert!(second.starts_with(".env, line 5"), "{second}");
        assert!(third.starts_with(".env, line 6"), "{third}");
        assert!(!errors.concat().contains("hunter"), "{errors:?}");
    }

    fn parsed(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
        let mut report = Report::default();
        let variables = parse(text, ".env", &mut report);
        let errors = match report.finish(Some(())) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        (variables, errors)
    }
}
