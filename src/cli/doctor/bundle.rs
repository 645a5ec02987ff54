//! The file of `doctor --bundle`: what a bug report needs, without secrets, codes, phone numbers and URLs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::CommandError;
use super::super::answer::ask_server;
use super::super::check_data;
use super::super::source::Progress;
use super::{Finding, Findings, data};
use crate::app::control::ControlRequest;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Effective, StorageSettings};

/// Replaces what is private.
const NOT_SHOWN: &str = "(not shown)";

/// Settings whose text is one of few words, or names of gateways. Other texts may be private.
const SHOWN: [&str; 9] = [
    "currency",
    "default-locale",
    "default-region",
    "gateway-silent",
    "gateways",
    "log-format",
    "log-level",
    "redis-version-answers",
    "workflow",
];

/// The parts of the data directory whose sizes are listed.
const PARTS: [&str; 5] = ["FORMAT", "account.env", "journal", "server.key", "snapshot"];

/// Refuses a file that exists.
pub(super) fn is_new(file: &Path) -> Result<(), CommandError> {
    if fs::symlink_metadata(file).is_ok() { Err(exists(file)) } else { Ok(()) }
}

/// Writes the bundle into a new file that only its owner can read.
pub(super) fn write(
    file: &Path,
    findings: &Findings,
    settings: &[Effective],
    storage: Option<&StorageSettings>,
    is_clustered: bool,
    clock: &SystemClock,
) -> Result<(), CommandError> {
    let mut bundle = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "target": target(),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "made_at": clock.wall().rfc3339_seconds().to_string(),
        "checks": findings.0.iter().map(check).collect::<Vec<_>>(),
        "settings": settings.iter().map(setting).collect::<Vec<_>>(),
        "data_bytes": storage.map(sizes),
        "check_data": storage.filter(|_| !is_clustered).map(|storage| {
            let mut progress = Progress::of("checking", false);
            let found = check_data::findings(storage, &mut progress);
            progress.end();
            or_error(found)
        }),
    });
    mask(&mut bundle);
    // Values of metrics may be large numbers; labels have names, in which at most four digits are allowed.
    bundle["server"] = storage.map_or(Value::Null, |storage| or_error(server(storage)));
    let text = serde_json::to_vec_pretty(&bundle)?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| {
        let written = opened.write_all(&text).and_then(|()| opened.sync_all());
        // A part of it would look like a whole one.
        written.inspect_err(|_| drop(fs::remove_file(file)))
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => CommandError::File { action: "write the bundle", path: file.to_owned(), source },
    })
}

fn exists(file: &Path) -> CommandError {
    let file = file.display();
    CommandError::Failed(format!("{file} exists already; move it away, or name another with --bundle FILE"))
}

fn target() -> String {
    let env = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-{}-{env}", std::env::consts::ARCH, std::env::consts::OS)
}

fn check(finding: &Finding) -> Value {
    let Finding { check, verdict, detail, in_bundle, .. } = finding;
    json!({ "check": check, "verdict": verdict, "detail": in_bundle.as_ref().unwrap_or(detail) })
}

fn setting(Effective { key, value, origin }: &Effective) -> Value {
    let parsed = serde_json::from_str(value).ok();
    let is_plain = match &parsed {
        Some(Value::String(text)) => text.is_empty() || humantime::parse_duration(text).is_ok(),
        Some(value) => value.is_boolean() || value.is_number(),
        // "(not set)", "(set, not shown)"
        None => true,
    };
    let shown = is_plain || SHOWN.contains(&key.as_str()) || origin.starts_with("the default");
    json!({ "key": key, "value": if shown { value.as_str() } else { NOT_SHOWN }, "origin": origin })
}

fn sizes(storage: &StorageSettings) -> Map<String, Value> {
    let paths = PARTS.map(|part| (part, storage.data_dir.join(part)));
    let existing = paths.into_iter().filter(|(_, path)| path.exists());
    existing.map(|(part, path)| (part.to_owned(), data::size_of(&path).into())).collect()
}

/// The state and the metrics of the server that runs on the directory; `null` without one.
fn server(storage: &StorageSettings) -> Result<Value, CommandError> {
    let Some(lines) = ask_server::<Value>(&storage.data_dir, &ControlRequest::Diagnose)? else {
        return Ok(Value::Null);
    };
    let mut lines = lines.into_iter();
    let mut readyz = lines.next().unwrap_or_default();
    mask(&mut readyz);
    Ok(json!({ "readyz": readyz, "metrics": lines.collect::<Vec<_>>() }))
}

fn or_error(found: Result<Value, CommandError>) -> Value {
    found.unwrap_or_else(|error| json!({ "error": masked(&error.to_string()) }))
}

/// Masks every text in a value.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = masked(text),
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(members) => members.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without what comes after the scheme of a URL, phone numbers, and runs of letters and digits as long as a
/// secret.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (taken, hidden) = if rest.starts_with("://") {
            let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
            masked.push_str("://");
            (rest.find(end).unwrap_or(rest.len()), true)
        } else if run == 0 {
            (first.len_utf8(), false)
        } else {
            let word = &rest.as_bytes()[..run];
            let has_digit = word.iter().any(u8::is_ascii_digit);
            // Segments of the journal have numbers that begin like this, and telephones do not.
            let is_number = word.iter().all(u8::is_ascii_digit) && !word.starts_with(b"0000");
            let is_phone = is_number && (run >= 10 || run >= 7 && masked.ends_with('+'));
            (run, is_phone || has_digit && run >= 20)
        };
        masked.push_str(if hidden { NOT_SHOWN } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_numbers_and_secrets_are_masked_and_other_text_stays() {
        for (text, shown) in [
            ("asked https://user:pass@sms.example.com/a?token=b;c, 200", "asked https://(not shown) 200"),
            ("number +14155552671 in service 0", "number +(not shown) in service 0"),
            ("14155552671", "(not shown)"),
            ("prefix +35987 and +4915123", "prefix +35987 and +(not shown)"),
            ("TWILIO_ACCOUNT_SID = AC0123456789abcdef0123456789abcdef", "TWILIO_ACCOUNT_SID = (not shown)"),
            (
                "4096 MiB are free; docs/operate/data-directory.md",
                "4096 MiB are free; docs/operate/data-directory.md",
            ),
            ("journal/0000000012.seg", "journal/0000000012.seg"),
            ("é+1415555267é", "é+(not shown)é"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn only_settings_that_cannot_be_private_are_shown() {
        let shown = |key: &str, value: &str, origin: &str| {
            let (key, value, origin) = (key.to_owned(), value.to_owned(), origin.to_owned());
            setting(&Effective { key, value, origin })["value"] != NOT_SHOWN
        };
        for (key, value, origin, is_shown) in [
            ("otp-length", "6", "config.json", true),
            ("otp-timeout", "\"5m\"", "config.json", true),
            ("gateways", "\"TwilioMessages;Sinch\"", "config.json", true),
            ("public-url", "\"\"", "config.json", true),
            ("test-hostname", "\"localhost\"", "the default", true),
            ("TWILIO_AUTH_TOKEN", "(set, not shown)", ".env", true),
            ("public-url", "\"https://a.example\"", "config.json", false),
            ("brand", "\"Acme\"", "config.json", false),
            ("TWILIO_PHONE_NUMBER", "\"+14155552671\"", ".env", false),
        ] {
            assert_eq!(shown(key, value, origin), is_shown, "{key} = {value}");
        }
    }
}
