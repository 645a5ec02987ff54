//! `onceward check-data`: checks every record of a data directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::backup::{check, name};
use super::findings::{Findings, Verdict, fail, ok, warn};
use super::source::{self, Progress, Source, is_of};
use super::{CommandError, CommandOutput, Context, EXIT_DAMAGED, absolute, in_three};
use crate::config::StorageSettings;
use crate::node::kinds::for_tools;
use crate::node::{KeyError, server_key};
use crate::shard::Kinds;
use crate::store::{
    CopiedRecord, DataDirectory, JournalSummary, LiveRecords, RESTORE, RecordCounts, StoreError,
};

const PUT_BACK: &str = "put the server.key that it was written with back, or name it with ONCEWARD_KEY_FILE; see \"When a \
                        start is refused\" in docs/operate/data-directory.md";

const MEMORY_IS_INTACT: &str = "the server's memory is intact: restore no backup, and do not stop it before you have read \
                                \"Check\" in docs/operate/backup.md";

pub fn run(is_quiet: bool, cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = &cx.records_on_disk()?;
    let mut progress = Progress::of("checking", is_quiet);
    let mut findings = Findings::default();
    findings.figure("data_dir", settings.data_dir.display().to_string());
    check_data(settings, &mut findings, &mut progress)?;
    if findings.verdict() == Verdict::Ok {
        findings.add("data", ok("no damage found"));
    } else {
        let remedy = "keep a copy of the directory before anything else";
        findings.add("data", warn("a start would be refused", remedy));
    }
    Ok(findings.output(cx, EXIT_DAMAGED))
}

fn check_data(
    settings: &StorageSettings,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let looked = match Source::of_server(&settings.data_dir) {
        Ok(source) => through_server(source, settings, findings, progress),
        Err(CommandError::Client(error)) if error.has_no_socket() => directory(settings, findings),
        Err(CommandError::Client(error)) if error.is(StatusCode::INTERNAL_SERVER_ERROR) => {
            findings.add("data", fail(error.to_string(), MEMORY_IS_INTACT));
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = looked {
        // The data directory cannot be opened, because a part of it is missing or newer.
        match error {
            CommandError::Open(error) => report(error, findings)?,
            error => return Err(error),
        }
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
    let detail = "one runs on it: every record was checked through it, the files were not; stop it to have them checked \
                  too, or check a copy that a file system snapshot made";
    findings.add("server", ok(detail));
    check_key(settings, Some(&source.key), findings)?;
    let (mut counted, kinds) = (Counted::default(), for_tools());
    source.each(progress, &mut |entry| {
        counted.add(&entry);
        if let Err(what) = check_record(&entry, &kinds) {
            let advice =
                "stop the server and check again: docs/operate/data-directory.md says what can be done";
            findings.add("data", fail(what, advice));
        }
        Ok(())
    })?;
    counted.show(true, findings);
    Ok(())
}

fn directory(settings: &StorageSettings, findings: &mut Findings) -> Result<(), CommandError> {
    let directory = source::open(settings)?;
    findings.figure("through_server", false);
    let [journal, snapshot] = ["journal", "snapshot"].map(|name| settings.data_dir.join(name));
    let mut counted = Counted::default();
    let Examined { journal: summary, snapshot_records, is_whole } = match directory.key_and_format() {
        Ok(Some((key, format))) => {
            findings.figure("format", format);
            let examined = examine(&directory, &journal, &mut counted, findings)?;
            check_key(settings, Some(key), findings)?;
            examined
        }
        // The first start was interrupted: the directory was never used.
        Ok(None) => Examined { is_whole: true, ..Examined::default() },
        Err(StoreError::ImportInterrupted { directory }) => {
            let remedy = "run `onceward import` again";
            findings.damaged(&directory, None, "an import into it was interrupted", remedy);
            Examined::default()
        }
        Err(error) => return Err(error.into()),
    };
    counted.show(is_whole, findings);
    findings.figure("snapshot", json!({ "records": snapshot_records, "bytes": size_of(&snapshot) }));
    findings.figure("journal", summary.map(|found| journal_figures(&found, size_of(&journal))));
    Ok(())
}

/// What a start would read.
#[derive(Default)]
struct Examined {
    journal: Option<JournalSummary>,
    snapshot_records: Option<u64>,
    /// Whether every record was read and can be decoded.
    is_whole: bool,
}

/// Reports each defect of the files, and of the records if the files have none.
fn examine(
    directory: &DataDirectory,
    journal: &Path,
    counted: &mut Counted,
    findings: &mut Findings,
) -> Result<Examined, CommandError> {
    let mut is_whole = true;
    let found = directory.find(&mut |error| {
        is_whole = false;
        match error {
            StoreError::Io { path, reason, .. } if path.starts_with(journal) => {
                findings.damaged(&path, None, format!("it cannot be read: {reason}"), RESTORE);
                Ok(())
            }
            error => report(error, findings),
        }
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(report(error, findings).map(|()| Examined::default())?),
    };
    let (summary, snapshot_records) = (found.journal().clone(), found.snapshot_records());
    if let Some((path, at, bytes)) = &summary.torn {
        let file = path.display();
        let detail = format!(
            "{bytes} bytes at byte {at} of {file} look like a write that was torn and never acknowledged: the next start \
             cuts them off; damage here cannot be told from that"
        );
        findings.add("journal", ok(detail));
    }
    let is_whole = is_whole && examine_records(found, counted, findings)?;
    Ok(Examined { journal: Some(summary), snapshot_records, is_whole })
}

/// Returns whether every record is well.
fn examine_records(
    found: LiveRecords,
    counted: &mut Counted,
    findings: &mut Findings,
) -> Result<bool, CommandError> {
    let (kinds, mut are_well) = (for_tools(), true);
    let read = found.each_copied::<StoreError>(&mut |place, entry| {
        counted.add(&entry);
        if let Err(what) = check_record(&entry, &kinds) {
            are_well = false;
            let (at, what) = match place.frame {
                Some((at, sequence)) => (Some(at), format!("in frame {sequence}, {what}")),
                None => (None, what),
            };
            findings.damaged(place.path, at, what, RESTORE);
        }
        Ok(())
    });
    if let Err(error) = read {
        are_well = false;
        report(error, findings)?;
    }
    Ok(are_well)
}

/// Adds what is damaged, missing or newer. Returns an error that says nothing about the data.
fn report(error: StoreError, findings: &mut Findings) -> Result<(), StoreError> {
    const UPGRADE: &str =
        "install the version that wrote it or a later one; see \"Downgrade\" in docs/operate/deploy.md";
    match error {
        StoreError::Damaged(damage) => findings.damage(damage),
        StoreError::FormatNewer { path, found, program, known } => {
            let what = format!(
                "the data has format {found}, written by onceward {program}, and this program reads formats up to {known}"
            );
            findings.damaged(&path, None, what, UPGRADE);
        }
        error => return Err(error),
    }
    Ok(())
}

/// The numbers of records, by kind, and by kind and version of their encoding.
#[derive(Default)]
struct Counted {
    kinds: RecordCounts,
    versions: BTreeMap<(u8, u8), u64>,
}

impl Counted {
    fn add(&mut self, entry: &CopiedRecord) {
        let version = entry.record.first().copied().unwrap_or_default();
        *self.kinds.entry(entry.key.kind).or_default() += 1;
        *self.versions.entry((entry.key.kind, version)).or_default() += 1;
    }

    /// Shows the numbers, unless some records could not be read.
    fn show(&self, is_whole: bool, findings: &mut Findings) {
        let counts = is_whole.then(|| in_three(&self.kinds));
        findings.figure("numbers", counts.map(|(numbers, _, _)| numbers));
        findings.figure("sends", counts.map(|(_, sends, _)| sends));
        findings.figure("others", counts.map(|(_, _, others)| others));
        let kinds = for_tools();
        let named = self.versions.iter().map(|((kind, version), count)| {
            let plural = kinds.get(*kind).map_or("unknown records", |kind| kind.plural);
            (format!("{plural}, version {version}"), Value::from(*count))
        });
        findings.figure("versions", named.collect::<Map<_, _>>());
    }
}

fn journal_figures(found: &JournalSummary, bytes: u64) -> Value {
    let JournalSummary { segments, frames, records, oldest, newest, closed, torn } = found;
    let torn = torn.as_ref().map(|(path, at, bytes)| json!({ "file": path, "at": at, "bytes": bytes }));
    json!({
        "segments": segments, "frames": frames, "records": records, "oldest": oldest, "newest": newest,
        "closed_in_order": closed, "torn": torn, "bytes": bytes,
    })
}

/// The disk usage of what is below a directory, in bytes.
pub fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size_of(&entry.path())).sum()
        }
        // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    }
}

/// Checks the key. `written_with` is the fingerprint of the right key, if it is known. Fails if this user may not read the
/// key.
fn check_key(
    settings: &StorageSettings,
    written_with: Option<&str>,
    findings: &mut Findings,
) -> Result<(), KeyError> {
    const UNREADABLE: Option<&str> =
        Some("it is not a server key, which has 64 hex digits: a start is refused");
    let file = settings.server_key_file.as_deref();
    let (key, what) = match server_key::find(&settings.data_dir, file) {
        Ok(Some(key)) => match written_with {
            // The data does not say which key is the right one.
            None => ("present", None),
            Some(right) if is_of(&key, right) => ("fits", None),
            Some(_) => (
                "another",
                Some("the key here is not the one this data was written with: a start is refused"),
            ),
        },
        Ok(None) => ("missing", Some("there is no server key here: a start is refused")),
        Err(KeyError::Unreadable(_)) => ("unreadable", UNREADABLE),
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => {
            ("unreadable", UNREADABLE)
        }
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            ("missing", Some("the key file that is named is missing: a start is refused"))
        }
        Err(error) => return Err(error),
    };
    findings.figure("key", key);
    if let Some(what) = what {
        let path = absolute(&server_key::place(&settings.data_dir, file));
        findings.damaged(&path, None, what, PUT_BACK);
    }
    Ok(())
}
