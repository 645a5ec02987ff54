//! The accepted syntax of the `.env` file, and the errors for everything else.

use proptest::prelude::*;

use super::*;

#[test]
fn a_line_is_read_as_the_replaced_services_read_it() {
    for (line, value) in [
        ("A=1", "1"),
        ("  A  =  5  ", "5"),
        ("export\tA=x", "x"),
        ("A: x", "x"),
        ("A=+1 415 555 2671", "+1 415 555 2671"),
        ("A='two words'", "two words"),
        ("A=\"two words\"", "two words"),
        ("A=`two words`", "two words"),
        ("A=' x '", " x "),
        // A quote counts only as the first character.
        ("A=Joe's", "Joe's"),
        ("A=x'y' z", "x'y' z"),
        ("A='Joe's'", "Joe's"),
        ("A='say \"x\"'", "say \"x\""),
        ("A=`Joe's \"x\"`", "Joe's \"x\""),
        // A dollar sign is one everywhere.
        ("A=Ca$h", "Ca$h"),
        ("A=${HOME}$$", "${HOME}$$"),
        ("A=\"Ca\\$h\"", "Ca$h"),
        // Backslashes mean something in double quotes only.
        (r#"A="a\nb""#, "a\nb"),
        (r#"A="a\"b""#, "a\"b"),
        (r#"A="a\\nb""#, r"a\nb"),
        (r#"A="C:\\""#, r"C:\"),
        (r#"A="a\tb\d""#, r"a\tb\d"),
        (r"A='a\nb'", r"a\nb"),
        (r"A=a\nb", r"a\nb"),
    ] {
        assert_eq!(read_line(line.trim()), Some(("A", value.to_owned())), "{line}");
    }
    assert_eq!(read_line("a.b-C_1=x"), Some(("a.b-C_1", "x".to_owned())));
    assert_eq!(read_line("exported=x"), Some(("exported", "x".to_owned())));
}

#[test]
fn a_comment_begins_a_line_or_follows_white_space_or_a_closing_quote() {
    for line in ["", "  ", "# A=1", "  #A=1", "#"] {
        let read = parsed(line);
        assert!(read.variables.is_empty() && read.warnings.is_empty(), "{line}");
    }
    for (line, value) in
        [("A=x # y", "x"), ("A= # y", ""), ("A=x#y", "x#y"), ("A='x # y' # z", "x # y"), ("A=\"x\"# z", "x")]
    {
        assert_eq!(read_line(line.trim()), Some(("A", value.to_owned())), "{line}");
    }
}

#[test]
fn an_open_quote_swallows_nothing() {
    let read = parsed("GREETING='tis\nPORT=0\nPORT=1\r\nNODE_OPTIONS=--a --b\rX=Joe's\n");
    let read_as: Vec<_> = read.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(read_as, ["NODE_OPTIONS=--a --b", "PORT=1", "X=Joe's"], "the last line of a name wins");
    let [warning] = &read.warnings[..] else { panic!("{:?}", read.warnings) };
    assert!(warning.starts_with(".env, line 1: it is ignored"), "{warning}");
}

#[test]
fn what_does_not_assign_a_variable_is_a_warning_with_its_line() {
    for line in [
        "PORT=\"hunter2",
        "TWILIO_AUTH_TOKEN=`hunter2",
        r#"ONCEWARD_NEW="hunter2\""#,
        "ONCEWARD_NEW='hunter2' y",
        "TWILIO_AUTH_TOKEN hunter2",
        "ONCEWARD_BRAND",
        "set TWILIO_AUTH_TOKEN=hunter2",
        "=x",
        "$x=1",
    ] {
        let read = parsed(&format!("A=1\n{line}\n"));
        assert_eq!(read.variables.len(), 1, "{line}");
        let [warning] = &read.warnings[..] else { panic!("{line}: {:?}", read.warnings) };
        assert!(warning.starts_with(".env, line 2") && warning.contains("NAME=value"), "{warning}");
        assert!(!warning.contains("hunter2"), "{warning}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_lose_the_last_line(text in "(?s).{0,80}") {
        let read = parsed(&format!("{text}\nPORT=1"));
        prop_assert_eq!(read.variables.get("PORT").map(String::as_str), Some("1"));
    }

    #[test]
    fn any_value_can_be_written_in_double_quotes(value in "(?s).{0,40}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
        let read = parsed(&format!("A=\"{escaped}\""));
        prop_assert_eq!(read.variables.get("A"), Some(&value));
    }
}

struct Read {
    variables: BTreeMap<String, String>,
    warnings: Vec<String>,
}

fn parsed(text: &str) -> Read {
    let mut found = ConfigErrors::default();
    let variables = parse(text, ".env", &mut found);
    Read { variables, warnings: found.warnings }
}
