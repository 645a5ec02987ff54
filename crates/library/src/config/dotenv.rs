//! The `.env` file: read like variables, without touching the environment of the process.
//!
//! One line is one variable, whatever it holds, so that a slip in one line cannot swallow the next.
//!
//! The files of the Redis version (Go's godotenv) and of the tutorial (Node's dotenv) must work unchanged. The two dialects
//! differ, and `dotenvy` reads a third one, the shell's: with real files it swallowed lines after an apostrophe
//! (`GREETING=Joe's`), lost names behind a `$` (`Ca$h`), and stopped the start because of a line of another program. These
//! are the rules that both share:
//!
//! * A line is `NAME=value`, optionally with `export` before it. LF, CRLF and CR end it. A byte order mark is skipped.
//! * A comment begins with `#` at the beginning of a line, behind white space, or behind the closing quote. Without white
//!   space in front it would cut a token short.
//! * A value without quotes is the text up to the comment, trimmed. A quote (`"`, `'`, a backtick) ends on the same line: a
//!   forgotten one must not cost the settings below it. In `"..."` `\n`, `\r`, `\"`, `\\` and `\$` are escapes.
//! * `$` is a `$` everywhere: a password with one is more frequent than a reference.
//! * An unreadable line is a warning, which does not repeat it: the file may be shared with other programs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::load::ConfigErrors;

/// The prefixes of the variables of gateways, which other programs may have too.
pub const SHARED_PREFIXES: [&str; 3] = ["TWILIO_", "SINCH_", "MADA_"];

/// The variables of the `.env` file in `directory`, if there is one. A later line of the same name
/// wins, as it does in the Redis version and in the tutorial.
pub fn read(directory: &Path, found: &mut ConfigErrors) -> BTreeMap<String, String> {
    let path = directory.join(".env");
    let file = path.display().to_string();
    match read_text(&path) {
        Ok(text) => parse(&text.unwrap_or_default(), &file, found),
        Err(reason) => {
            found.wrong(&file, &(reason + "; run the command as root, or as the owner of the file"), None);
            BTreeMap::new()
        }
    }
}

fn parse(text: &str, file: &str, found: &mut ConfigErrors) -> BTreeMap<String, String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut variables = BTreeMap::new();
    for (number, line) in (1_usize..).zip(text.split('\n').map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read_line(line) {
            Some((name, value)) => drop(variables.insert(name.to_owned(), value)),
            None => found.warn(format!("{file}, line {number}: it is ignored, for it is not {PAIR}")),
        }
    }
    variables
}

const PAIR: &str = "NAME=value, with letters, digits, _, . and - in the name and perhaps quotes that end on that line around the \
                    value (a line break in \"...\" is written \\n)";

/// Whether users other than the owner and the group of a file can read it.
pub fn is_readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// The text of a file; `Ok(None)` if the file does not exist.
pub fn read_text(path: &Path) -> Result<Option<String>, String> {
    /// Far more than any of these files needs; a device or a wrong path must not fill the memory.
    const LARGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)) {
        Ok(read) if read as u64 == LARGEST => return Err(format!("it is larger than {LARGEST} bytes")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    }
    // Some editors put a byte order mark in front, which neither JSON nor .env allows.
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

/// The name and the value of a line that is no comment.
fn read_line(line: &str) -> Option<(&str, String)> {
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    let line = exported.unwrap_or(line).trim_start();
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let (name, rest) = line.split_at(line.find(|c| !of_name(c)).unwrap_or(line.len()));
    // Both predecessors read `NAME: value` too.
    let text = rest.trim_start().strip_prefix(['=', ':']).filter(|_| !name.is_empty())?;
    let value = match text.trim_start().chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => in_quotes(&text.trim_start()[1..], quote)?,
        _ => before_comment(text).trim().to_owned(),
    };
    Some((name, value))
}

/// Up to a `#` that follows white space. Any other `#` is part of the value, as are quotes and `$`.
fn before_comment(text: &str) -> &str {
    let follows_space = |(at, _): &(usize, &str)| text[..*at].ends_with(char::is_whitespace);
    text.match_indices('#').find(follows_space).map_or(text, |(at, _)| &text[..at])
}

/// The text before the closing quote, which is the first one that only a comment may follow: `'Joe's'` reads as meant.
/// `None` if there is none.
fn in_quotes(text: &str, quote: char) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\'
            && quote == '"'
            && let Some(escaped) = chars.as_str().chars().next().and_then(unescaped)
        {
            value.push(escaped);
            chars.next();
        } else if c == quote && ends(chars.as_str()) {
            return Some(value);
        } else {
            value.push(c);
        }
    }
    None
}

fn ends(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

/// The meaning of a character behind a backslash in double quotes; any other backslash is itself.
/// A `$` never needs one here, but does in files that were written for the Redis version.
const fn unescaped(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        'r' => Some('\r'),
        '"' | '\\' | '$' => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
