//! `onceward check-data`: checks every record of a data directory.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::backup::{check, name};
use super::client::ClientError;
use super::findings::{Findings, Verdict};
use super::source::{self, Progress, Source};
use super::{CommandError, CommandOutput, EXIT_DAMAGED, absolute, in_three};
use crate::config::StorageSettings;
use crate::engine::key_fingerprint;
use crate::node::kinds::for_tools;
use crate::node::{KeyError, server_key};
use crate::shard::Kinds;
use crate::store::{CopiedRecord, Examined, Finding, JournalSummary, RecordCounts};

const PUT_BACK: &str = "put the server.key that it was written with back, or name it with ONCEWARD_KEY_FILE; see \"When a \
                        start is refused\" in docs/operate/data-directory.md";

const MEMORY_IS_INTACT: &str = "the server's memory is intact: restore no backup, and do not stop it before you have read \
                                \"Check\" in docs/operate/backup.md";

/// The state of the server key at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum KeyFound {
    Fits,
    /// The data does not say which key is the right one.
    Present,
    Another,
    Unreadable,
    Missing,
}

pub fn run(
    is_quiet: bool,
    json: bool,
    settings: &StorageSettings,
    colors: bool,
) -> Result<CommandOutput, CommandError> {
    let mut progress = Progress::of("checking", is_quiet);
    let mut findings = Findings::default();
    findings.figure("data_dir", settings.data_dir.display().to_string());
    let checked = check_data(settings, &mut findings, &mut progress);
    progress.end();
    checked?;
    if findings.verdict() == Verdict::Ok {
        findings.ok("data", "no damage found");
    } else {
        let remedy = "keep a copy of the directory before anything else";
        findings.warn("data", "a start would be refused", remedy);
    }
    Ok(findings.output(json, colors, EXIT_DAMAGED))
}

fn check_data(
    settings: &StorageSettings,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let looked = match Source::of_server(&settings.data_dir, progress) {
        Ok(source) => through_server(source, settings, findings, progress),
        Err(CommandError::Client(error)) if error.has_no_socket() => directory(settings, findings),
        Err(CommandError::Client(error @ ClientError::NoCopy { .. })) => {
            findings.fail("data", error.to_string(), MEMORY_IS_INTACT);
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = looked {
        // The data directory cannot be opened, because a part of it is missing or newer.
        findings.damage(error.damage().ok_or(error)?);
        check_key(settings, None, findings)?;
    }
    Ok(())
}

fn check_record(entry: &CopiedRecord, kinds: &Kinds) -> Result<(), String> {
    check(entry, kinds)
        .map_err(|what| format!("the record of {} cannot be read: {what}", name(&entry.key, kinds)))
}

fn through_server(
    source: Source,
    settings: &StorageSettings,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    findings.figure("through_server", true);
    findings.ok(
        "server",
        "one runs on it: every record was checked through it, the files were not; stop it to have them checked too, or \
         check a copy that a file system snapshot made",
    );
    check_key(settings, Some(&source.key), findings)?;
    let (mut versions, kinds) = (BTreeMap::new(), for_tools());
    let counts = source.each(progress, &mut |entry| {
        let version = entry.record.first().copied().unwrap_or_default();
        *versions.entry((entry.key.kind, version)).or_default() += 1;
        if let Err(what) = check_record(&entry, &kinds) {
            let advice =
                "stop the server and check again: docs/operate/data-directory.md says what can be done";
            findings.fail("data", what, advice);
        }
        Ok(())
    })?;
    show_records(findings, Some(&counts), &versions);
    Ok(())
}

fn directory(settings: &StorageSettings, findings: &mut Findings) -> Result<(), CommandError> {
    let directory = source::open(settings)?;
    let kinds = for_tools();
    let examined =
        directory.examine(&|entry: &CopiedRecord| check_record(entry, &kinds), &mut |found: Finding| {
            findings.damage(found);
        })?;
    // Before it is complete, nothing in it was written with a key.
    if matches!(directory.is_new(), Ok(false)) {
        check_key(settings, Some(directory.key_fingerprint()), findings)?;
    }
    let Examined { format, alive, versions, snapshot_records, snapshot_bytes, .. } = &examined;
    findings.figure("through_server", false);
    findings.figure("format", *format);
    show_records(findings, alive.as_ref(), versions);
    findings.figure("snapshot", json!({ "records": snapshot_records, "bytes": snapshot_bytes }));
    findings.figure("journal", examined.journal.as_ref().map(|found| journal(found, &examined)));
    if let Some((path, at, bytes)) = examined.journal.as_ref().and_then(|found| found.torn.as_ref()) {
        let file = path.display();
        let detail = format!(
            "{bytes} bytes at byte {at} of {file} look like a write that was torn and never acknowledged: the next start \
             cuts them off; damage here cannot be told from that"
        );
        findings.ok("journal", detail);
    }
    Ok(())
}

/// Adds the numbers of the records, if they were counted, by kind and version too.
fn show_records(findings: &mut Findings, counts: Option<&RecordCounts>, versions: &BTreeMap<(u8, u8), u64>) {
    let counts = counts.map(in_three);
    findings.figure("numbers", counts.map(|(numbers, _, _)| numbers));
    findings.figure("sends", counts.map(|(_, sends, _)| sends));
    findings.figure("others", counts.map(|(_, _, others)| others));
    let kinds = for_tools();
    let named = versions.iter().map(|((kind, version), count)| {
        let plural = kinds.get(*kind).map_or("unknown records", |kind| kind.plural);
        (format!("{plural}, version {version}"), Value::from(*count))
    });
    findings.figure("versions", named.collect::<Map<_, _>>());
}

fn journal(found: &JournalSummary, examined: &Examined) -> Value {
    let JournalSummary { segments, frames, records, oldest, newest, closed, torn } = found;
    let torn = torn.as_ref().map(|(path, at, bytes)| json!({ "file": path, "at": at, "bytes": bytes }));
    json!({
        "segments": segments, "frames": frames, "records": records, "oldest": oldest, "newest": newest,
        "closed_in_order": closed, "torn": torn, "bytes": examined.journal_bytes,
    })
}

/// Checks the key. `written_with` is the fingerprint of the right key, if it is known. Fails if this user may not read the
/// key.
fn check_key(
    settings: &StorageSettings,
    written_with: Option<&str>,
    findings: &mut Findings,
) -> Result<(), KeyError> {
    const UNREADABLE: &str = "it is not a server key, which has 64 hex digits: a start is refused";
    let file = settings.server_key_file.as_deref();
    let (key, what) = match server_key::find(&settings.data_dir, file) {
        Ok(Some(key)) => match written_with {
            None => (KeyFound::Present, None),
            Some(right) if right == base16ct::lower::encode_string(&key_fingerprint(&key)) => {
                (KeyFound::Fits, None)
            }
            Some(_) => {
                let what = "the key here is not the one this data was written with: a start is refused";
                (KeyFound::Another, Some(what))
            }
        },
        Ok(None) => (KeyFound::Missing, Some("there is no server key here: a start is refused")),
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            (KeyFound::Missing, Some("the key file that is named is missing: a start is refused"))
        }
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => {
            (KeyFound::Unreadable, Some(UNREADABLE))
        }
        Err(KeyError::Unreadable(_)) => (KeyFound::Unreadable, Some(UNREADABLE)),
        Err(error) => return Err(error),
    };
    findings.figure("key", json!(key));
    if let Some(what) = what {
        let path = server_key::place(&settings.data_dir, file);
        let path = absolute(&path);
        findings.damage(Finding { path, at: None, what: what.to_owned(), advice: PUT_BACK });
    }
    Ok(())
}
