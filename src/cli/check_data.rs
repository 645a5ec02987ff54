//! `onceward check-data`: checks every record of a data directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;

use serde::Serialize;

use super::args::CheckDataArgs;
use super::backup::{check, name};
use super::source::{self, Progress, Source};
use super::{CommandError, CommandOutput, EXIT_DAMAGED, in_three, json_line};
use crate::config::StorageSettings;
use crate::domain::Timestamp;
use crate::engine::key_fingerprint;
use crate::node::kinds::for_tools;
use crate::node::{KeyError, server_key};
use crate::shard::Kinds;
use crate::store::{CopiedRecord, Examined, Finding, JournalSummary};

const PUT_BACK: &str = "put the server.key that it was written with back, or name it with ONCEWARD_KEY_FILE; see \"When a \
                        start is refused\" in docs/operate/data-directory.md";

#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    data_dir: String,
    /// A server runs: its records were checked, and not the files they come from.
    through_server: bool,
    format: Option<u32>,
    /// A null value was not examined, or cannot be known.
    numbers: Option<u64>,
    sends: Option<u64>,
    others: Option<u64>,
    key: Option<KeyFound>,
    versions: BTreeMap<String, u64>,
    journal: Option<JournalReport>,
    snapshot: Option<SnapshotReport>,
    damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct JournalReport {
    segments: u64,
    frames: u64,
    records: u64,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    closed_in_order: bool,
    torn: Option<TornReport>,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct TornReport {
    file: String,
    at: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct SnapshotReport {
    records: Option<u64>,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Damage {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    what: String,
    advice: String,
}

impl From<Finding> for Damage {
    fn from(found: Finding) -> Self {
        Self {
            file: Some(found.path.display().to_string()),
            at: found.at,
            what: found.what,
            advice: found.advice.to_owned(),
        }
    }
}

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

pub fn run(args: &CheckDataArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let mut progress = Progress::of("checking", args.quiet);
    let checked = check_data(settings, &mut progress);
    progress.end();
    let report = checked?;
    let code = if report.ok { 0 } else { EXIT_DAMAGED };
    let out = if args.json { json_line(&report) } else { text(&report) };
    Ok(CommandOutput { code, ..CommandOutput::of(out) })
}

fn check_data(settings: &StorageSettings, progress: &mut Progress) -> Result<Report, CommandError> {
    let looked = match Source::of_server(&settings.data_dir, progress) {
        Ok(source) => through_server(source, settings, progress),
        Err(CommandError::Client(error)) if error.has_no_socket() => directory(settings),
        Err(error) => Err(error),
    };
    let report = match looked {
        Ok(report) => report,
        // The data directory cannot be opened, because a part of it is missing.
        Err(error) => {
            let mut damage = vec![error.damage().ok_or(error)?.into()];
            let key = Some(check_key(settings, None, &mut damage)?);
            Report { key, damage, ..Report::default() }
        }
    };
    let data_dir = settings.data_dir.display().to_string();
    Ok(Report { ok: report.damage.is_empty(), data_dir, ..report })
}

fn check_record(entry: &CopiedRecord, kinds: &Kinds) -> Result<(), String> {
    check(entry, kinds)
        .map_err(|what| format!("the record of {} cannot be read: {what}", name(&entry.key, kinds)))
}

fn through_server(
    source: Source,
    settings: &StorageSettings,
    progress: &mut Progress,
) -> Result<Report, CommandError> {
    let Source { mut records, counts, key, .. } = source;
    progress.expect(counts.total());
    let mut report = Report { through_server: true, ..Report::default() };
    let (kinds, (numbers, sends, others)) = (for_tools(), in_three(&counts));
    (report.numbers, report.sends, report.others) = (Some(numbers), Some(sends), Some(others));
    report.key = Some(check_key(settings, Some(&key), &mut report.damage)?);
    let mut seen = 0;
    let failed = |error| CommandError::Failed(format!("read the records: {error}; check again"));
    while let Some(entry) = records.next_entry().map_err(failed)? {
        seen += 1;
        progress.at(seen);
        let version = entry.record.first().copied().unwrap_or_default();
        *report.versions.entry(version_of(&kinds, entry.key.kind, version)).or_default() += 1;
        if let Err(what) = check_record(&entry, &kinds) {
            let advice =
                "stop the server and check again: docs/operate/data-directory.md says what can be done";
            report.damage.push(Damage { file: None, at: None, what, advice: advice.to_owned() });
        }
    }
    Ok(report)
}

fn directory(settings: &StorageSettings) -> Result<Report, CommandError> {
    let directory = source::open(settings)?;
    let kinds = for_tools();
    let mut damage = Vec::new();
    let examined = directory.examine(
        Timestamp::EPOCH,
        &|entry: &CopiedRecord| check_record(entry, &kinds),
        &mut |found: Finding| damage.push(found.into()),
    )?;
    // Before it is complete, nothing in it was written with a key.
    let key = match directory.is_new() {
        Ok(false) => Some(check_key(settings, Some(directory.key_fingerprint()), &mut damage)?),
        _ => None,
    };
    let Examined { alive, versions, .. } = &examined;
    let versions =
        versions.iter().map(|((kind, version), count)| (version_of(&kinds, *kind, *version), *count));
    let alive = alive.as_ref().map(in_three);
    Ok(Report {
        format: Some(examined.format),
        numbers: alive.map(|(numbers, _, _)| numbers),
        sends: alive.map(|(_, sends, _)| sends),
        others: alive.map(|(_, _, others)| others),
        key,
        versions: versions.collect(),
        snapshot: Some(SnapshotReport { records: examined.snapshot_records, bytes: examined.snapshot_bytes }),
        journal: examined.journal.as_ref().map(|found| journal(found, examined.journal_bytes)),
        damage,
        ..Report::default()
    })
}

fn journal(found: &JournalSummary, bytes: u64) -> JournalReport {
    JournalReport {
        segments: found.segments,
        frames: found.frames,
        records: found.records,
        oldest: found.oldest,
        newest: found.newest,
        closed_in_order: found.closed,
        torn: found.torn.as_ref().map(|(path, at, bytes)| TornReport {
            file: path.display().to_string(),
            at: *at,
            bytes: *bytes,
        }),
        bytes,
    }
}

fn version_of(kinds: &Kinds, kind: u8, version: u8) -> String {
    let plural = kinds.get(kind).map_or("unknown records", |kind| kind.plural);
    format!("{plural}, version {version}")
}

/// Checks the key and adds the reason for which a start would be refused to `damage`. `written_with` is the
/// fingerprint of the right key, if it is known. Fails if this user may not read the key.
fn check_key(
    settings: &StorageSettings,
    written_with: Option<&str>,
    damage: &mut Vec<Damage>,
) -> Result<KeyFound, KeyError> {
    const UNREADABLE: &str = "it is not a server key, which has 64 hex digits: a start is refused";
    let file = settings.server_key_file.as_deref();
    let (key, what) = match server_key::find(&settings.data_dir, file) {
        Ok(Some(key)) => {
            let fingerprint = base16ct::lower::encode_string(&key_fingerprint(&key));
            match written_with {
                None => return Ok(KeyFound::Present),
                Some(right) if right == fingerprint => return Ok(KeyFound::Fits),
                Some(_) => (
                    KeyFound::Another,
                    "the key here is not the one this data was written with: a start is refused",
                ),
            }
        }
        Ok(None) => (KeyFound::Missing, "there is no server key here: a start is refused"),
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            (KeyFound::Missing, "the key file that is named is missing: a start is refused")
        }
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => {
            (KeyFound::Unreadable, UNREADABLE)
        }
        Err(KeyError::Unreadable(_)) => (KeyFound::Unreadable, UNREADABLE),
        Err(error) => return Err(error),
    };
    let file = server_key::place(&settings.data_dir, file);
    let file = Some(std::path::absolute(&file).unwrap_or(file).display().to_string());
    damage.push(Damage { file, at: None, what: what.to_owned(), advice: PUT_BACK.to_owned() });
    Ok(key)
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for Damage { file, at, what, advice } in &report.damage {
        let place = match (file, at) {
            (Some(file), Some(at)) => format!("{file}, byte {at}: "),
            (Some(file), None) => format!("{file}: "),
            (None, _) => String::new(),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(out, "DAMAGED: {place}{what}; {advice}");
    }
    for (label, text) in rows(report) {
        let _ = writeln!(out, "{label:<15} {text}");
    }
    out + &match report.damage.len() {
        0 => "no damage found\n".to_owned(),
        found => format!("{found} damaged; keep a copy of the directory before anything else\n"),
    }
}

/// The rows of a report: a label, or an empty one if the row continues the one above, and a text.
fn rows(report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = vec![("data directory", report.data_dir.clone())];
    if report.through_server {
        let text = [
            "a server runs on it: every record was checked through it, the files were not;",
            "stop it to have them checked too, or check a copy that a file system snapshot made",
        ];
        rows.extend(text.map(|text| ("", text.to_owned())));
    }
    rows.extend(report.format.map(|format| ("format", format.to_string())));
    if report.key == Some(KeyFound::Missing) {
        let text = "none in the directory: a start needs it there, or named with ONCEWARD_KEY_FILE";
        rows.push(("server key", text.to_owned()));
    }
    if let (Some(numbers), Some(sends), Some(others)) = (report.numbers, report.sends, report.others) {
        rows.push(("records", format!("{numbers} numbers, sends of {sends} verifications, {others} others")));
        rows.extend(report.versions.iter().map(|(version, count)| ("", format!("{count} {version}"))));
    }
    match &report.journal {
        Some(found) => journal_rows(&mut rows, report, found),
        None if report.snapshot.is_some() => rows.push(("journal", "not looked at".to_owned())),
        None => {}
    }
    rows.extend(report.snapshot.as_ref().map(|SnapshotReport { records, bytes }| match records {
        Some(records) => ("snapshot", format!("{records} records, {bytes} bytes")),
        None => ("snapshot", format!("{bytes} bytes, not looked at further")),
    }));
    rows
}

fn journal_rows(rows: &mut Vec<(&'static str, String)>, report: &Report, journal: &JournalReport) {
    let JournalReport { segments, frames, records, bytes, .. } = journal;
    rows.push(("journal", format!("{segments} segments, {frames} frames, {records} records, {bytes} bytes")));
    let mut more = |text: String| rows.push(("", text));
    if let (Some(oldest), Some(newest)) = (&journal.oldest, &journal.newest) {
        more(format!("written from {} to {}", oldest.rfc3339_millis(), newest.rfc3339_millis()));
    }
    if report.snapshot.as_ref().is_some_and(|snapshot| snapshot.records.is_none()) {
        more("all of it, for without the snapshot it is not known what it covers".to_owned());
    }
    if report.damage.is_empty() {
        let end = match segments {
            0 => "there is nothing in it to replay",
            _ if journal.closed_in_order => "closed in order",
            _ => "not closed in order: the next start replays it",
        };
        more(end.to_owned());
    }
    if let Some(TornReport { file, at, bytes }) = &journal.torn {
        more(format!("{bytes} bytes at byte {at} of {file} look like a write that was torn and never"));
        more("acknowledged: the next start cuts them off; damage here cannot be told from that".to_owned());
    }
}
