//! What was found, for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::{JournalReport, KeyFound, Report, SnapshotReport, TornReport};
use crate::store::Finding;

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Damage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<u64>,
    pub(super) what: String,
    pub(super) advice: String,
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

/// The report in lines.
pub(super) fn text(report: &Report) -> String {
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
    if report.key == Some(KeyFound::Missing) {
        writeln!(
            out,
            "server key      none in the directory: a start needs it there, or named with ONCEWARD_KEY_FILE"
        )?;
    }
    if let (Some(numbers), Some(sends), Some(others)) = (report.numbers, report.sends, report.others) {
        writeln!(out, "records         {numbers} numbers, sends of {sends} verifications, {others} others")?;
        for (version, count) in &report.versions {
            writeln!(out, "                {count} {version}")?;
        }
    }
    match &report.journal {
        Some(found) => journal(out, report, found)?,
        None if report.snapshot.is_some() => writeln!(out, "journal         not looked at")?,
        None => {}
    }
    match &report.snapshot {
        Some(SnapshotReport { records: Some(records), bytes }) => {
            writeln!(out, "snapshot        {records} records, {bytes} bytes")?;
        }
        Some(SnapshotReport { records: None, bytes }) => {
            writeln!(out, "snapshot        {bytes} bytes, not looked at further")?;
        }
        None => {}
    }
    match report.damage.len() {
        0 => writeln!(out, "no damage found"),
        found => writeln!(out, "{found} damaged; keep a copy of the directory before anything else"),
    }
}

fn journal(out: &mut String, report: &Report, journal: &JournalReport) -> std::fmt::Result {
    let JournalReport { segments, frames, records, bytes, .. } = journal;
    writeln!(out, "journal         {segments} segments, {frames} frames, {records} records, {bytes} bytes")?;
    if let (Some(oldest), Some(newest)) = (&journal.oldest, &journal.newest) {
        writeln!(out, "                written from {oldest} to {newest}")?;
    }
    if report.snapshot.as_ref().is_some_and(|snapshot| snapshot.records.is_none()) {
        writeln!(out, "                all of it, for without the snapshot it is not known what it covers")?;
    }
    let end = match segments {
        _ if !report.damage.is_empty() => "",
        0 => "there is nothing in it to replay",
        _ if journal.closed_in_order => "closed in order",
        _ => "not closed in order: the next start replays it",
    };
    if !end.is_empty() {
        writeln!(out, "                {end}")?;
    }
    if let Some(TornReport { file, at, bytes }) = &journal.torn {
        writeln!(
            out,
            "                {bytes} bytes at byte {at} of {file} look like a write that was torn and never"
        )?;
        writeln!(
            out,
            "                acknowledged: the next start cuts them off; damage here cannot be told from that"
        )?;
    }
    Ok(())
}
