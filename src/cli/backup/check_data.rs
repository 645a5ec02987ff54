//! `onceward check-data`: is every record what was written?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::progress::Progress;
use super::source::{self, Source, SourceError};
use super::{EXIT_DAMAGED, EXIT_FAILED, failed};
use crate::backup::{check, name, rfc3339};
use crate::cli::Answer;
use crate::cli::args::CheckDataArgs;
use crate::clock::{Clock, SystemClock};
use crate::config::StorageSettings;
use crate::control::ControlError;
use crate::store::{Entry, Examined, Finding, Kind, OpenError};

#[derive(Debug, thiserror::Error)]
enum CheckDataError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("read the records: {0}; check again")]
    Read(#[from] io::Error),
}

/// What was found, as machines read it.
#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    data_dir: String,
    /// A server runs: its records were checked, and not the files they come from.
    through_server: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<u32>,
    numbers: u64,
    sends: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u64>,
    versions: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<SnapshotReport>,
    damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct JournalReport {
    segments: u64,
    change_sets: u64,
    records: u64,
    oldest: Option<String>,
    newest: Option<String>,
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
    records: u64,
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

/// Checks.
pub(super) fn run(args: &CheckDataArgs, settings: &StorageSettings) -> Answer {
    let mut progress = Progress::of("checking", args.quiet);
    let checked = check_data(&settings.data_dir, &mut progress);
    progress.end();
    match checked {
        Ok(report) => {
            let code = if report.ok { 0 } else { EXIT_DAMAGED };
            // A report of texts and numbers always has a form in JSON.
            let json = || serde_json::to_string(&report).unwrap_or_default() + "\n";
            Answer { code, out: if args.json { json() } else { text(&report) }, err: String::new() }
        }
        Err(error) => failed(EXIT_FAILED, &error),
    }
}

fn check_data(data_dir: &Path, progress: &mut Progress) -> Result<Report, CheckDataError> {
    let shown = data_dir.display().to_string();
    let report = match Source::of_server(data_dir, progress) {
        Ok(source) => through_server(source, progress)?,
        Err(SourceError::Control(ControlError::NobodyListens(_) | ControlError::PathTooLong(_))) => {
            directory(data_dir)?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Report { ok: report.damage.is_empty(), data_dir: shown, ..report })
}

fn judge(entry: &Entry) -> Result<(), String> {
    check(entry).map_err(|what| format!("the record of {} is damaged: {what}", name(entry)))
}

fn through_server(source: Source, progress: &mut Progress) -> Result<Report, CheckDataError> {
    let Source { mut records, counts, .. } = source;
    progress.expect(counts.total());
    let mut report = Report { through_server: true, ..Report::default() };
    (report.numbers, report.sends) = (counts.numbers, counts.tracks);
    let mut seen = 0;
    while let Some(entry) = records.next_entry()? {
        seen += 1;
        progress.at(seen);
        let version = entry.record.first().copied().unwrap_or_default();
        *report.versions.entry(version_of(entry.key.kind, version)).or_default() += 1;
        if let Err(what) = judge(&entry) {
            let advice = "stop the server and check again: docs/data-directory.md says what can be done";
            report.damage.push(Damage { file: None, at: None, what, advice: advice.to_owned() });
        }
    }
    Ok(report)
}

fn directory(data_dir: &Path) -> Result<Report, CheckDataError> {
    let directory = source::open(data_dir)?;
    let mut damage = Vec::new();
    let examined = directory.examine(SystemClock::start().now(), &judge, &mut |found: Finding| {
        damage.push(Damage {
            file: Some(found.path.display().to_string()),
            at: found.at,
            what: found.what,
            advice: found.advice.to_owned(),
        });
    })?;
    let Examined { alive, ended, versions, .. } = &examined;
    let versions = versions.iter().map(|((kind, version), count)| (version_of(*kind, *version), *count));
    Ok(Report {
        format: Some(examined.format),
        numbers: alive.numbers,
        sends: alive.tracks,
        ended: Some(*ended),
        versions: versions.collect(),
        snapshot: Some(SnapshotReport { records: examined.snapshot_records, bytes: examined.snapshot_bytes }),
        journal: Some(journal(&examined)),
        damage,
        ..Report::default()
    })
}

fn journal(examined: &Examined) -> JournalReport {
    JournalReport {
        segments: examined.segments,
        change_sets: examined.change_sets,
        records: examined.journal_records,
        oldest: examined.oldest.map(|at| rfc3339(at).to_string()),
        newest: examined.newest.map(|at| rfc3339(at).to_string()),
        closed_in_order: examined.closed_in_order,
        torn: examined.torn.as_ref().map(|(path, at, bytes)| TornReport {
            file: path.display().to_string(),
            at: *at,
            bytes: *bytes,
        }),
        bytes: examined.journal_bytes,
    }
}

fn version_of(kind: Kind, version: u8) -> String {
    match kind {
        Kind::Number => format!("numbers, version {version}"),
        Kind::Track => format!("sends, version {version}"),
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = lines(&mut out, report);
    out
}

fn lines(out: &mut String, report: &Report) -> std::fmt::Result {
    for Damage { file, at, what, advice } in &report.damage {
        let place = match (file, at) {
            (Some(file), Some(at)) => format!("{file}, byte {at}: "),
            (Some(file), None) => format!("{file}: "),
            (None, _) => String::new(),
        };
        writeln!(out, "DAMAGED: {place}{what}; {advice}")?;
    }
    writeln!(out, "data directory  {}", report.data_dir)?;
    if report.through_server {
        writeln!(
            out,
            "                a server runs on it: every record was checked through it, the files were not;"
        )?;
        writeln!(
            out,
            "                stop it to have them checked too, or check a copy that a file system snapshot made"
        )?;
    }
    if let Some(format) = report.format {
        writeln!(out, "format          {format}")?;
    }
    if report.damage.is_empty() {
        writeln!(out, "records         {} numbers, sends of {} verifications", report.numbers, report.sends)?;
        if let Some(ended) = report.ended {
            writeln!(out, "                and {ended} that have ended and are not removed yet")?;
        }
        for (version, count) in &report.versions {
            writeln!(out, "                {count} {version}")?;
        }
    }
    if let Some(journal) = &report.journal {
        let JournalReport { segments, change_sets, records, bytes, .. } = journal;
        writeln!(
            out,
            "journal         {segments} segments, {change_sets} change sets, {records} records, {bytes} bytes"
        )?;
        if let (Some(oldest), Some(newest)) = (&journal.oldest, &journal.newest) {
            writeln!(out, "                written from {oldest} to {newest}")?;
        }
        let end = match segments {
            0 => "there is nothing in it to replay",
            _ if journal.closed_in_order => "closed in order",
            _ => "not closed in order: the next start replays it",
        };
        writeln!(out, "                {end}")?;
        if let Some(TornReport { file, at, bytes }) = &journal.torn {
            writeln!(
                out,
                "                {bytes} bytes at byte {at} of {file} were never acknowledged: the next start"
            )?;
            writeln!(out, "                cuts them off")?;
        }
    }
    if let Some(SnapshotReport { records, bytes }) = &report.snapshot {
        writeln!(out, "snapshot        {records} records, {bytes} bytes")?;
    }
    match report.damage.len() {
        0 => writeln!(out, "no damage found"),
        found => writeln!(out, "{found} damaged; keep a copy of the directory before anything else"),
    }
}
