//! The accepted syntax of the `.env` file, and the warnings about everything else.

use proptest::prelude::*;

use super::*;

#[test]
fn a_line_is_a_variable_a_comment_or_a_warning_that_does_not_repeat_it() {
    for row in include_str!("lines.tsv").lines().skip(1) {
        let (line, expected) = row.split_once('\t').expect("two columns");
        let (variables, warnings) = parsed(&format!("\n{line}\n"));
        if expected == "warning" {
            let [warning] = &warnings[..] else { panic!("{line}: {warnings:?}") };
            assert!(
                warning.starts_with(".env, line 2: it is ignored, for it is not NAME=value"),
                "{warning}"
            );
            assert!(variables.is_empty() && !warning.contains("hunter2"), "{warning}");
        } else {
            let expected: BTreeMap<String, String> = serde_json::from_str(expected).expect("JSON");
            assert_eq!((variables, warnings), (expected, Vec::new()), "{line}");
        }
    }
}

#[test]
fn an_open_quote_swallows_nothing_and_the_last_line_of_a_name_wins() {
    let (variables, warnings) = parsed("GREETING='tis\nPORT=0\nPORT=1\r\nNODE_OPTIONS=--a --b\rX=Joe's\n");
    let read: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(read, ["NODE_OPTIONS=--a --b", "PORT=1", "X=Joe's"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_lose_the_last_line(text in "(?s).{0,80}") {
        let (variables, _) = parsed(&format!("{text}\nPORT=1"));
        prop_assert_eq!(variables.get("PORT").map(String::as_str), Some("1"));
    }

    #[test]
    fn any_value_can_be_written_in_double_quotes(value in "(?s).{0,40}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
        let (variables, _) = parsed(&format!("A=\"{escaped}\""));
        prop_assert_eq!(variables.get("A"), Some(&value));
    }
}

/// The variables and the warnings of a file.
fn parsed(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut found = ConfigErrors::default();
    (parse(text, ".env", &mut found), found.warnings)
}
