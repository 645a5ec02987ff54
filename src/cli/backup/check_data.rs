//! `onceward check-data`: is every record what was written?

mod key;
mod text;

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use self::key::KeyFound;
use self::text::{Damage, text};
use super::progress::Progress;
use super::source::{self, Source, SourceError};
use super::{EXIT_DAMAGED, EXIT_FAILED, failed};
use crate::app::KeyError;
use crate::app::shards::every_kind;
use crate::attempts::Track;
use crate::backup::{check, name, rfc3339};
use crate::cli::Answer;
use crate::cli::args::CheckDataArgs;
use crate::config::StorageSettings;
use crate::control::ControlError;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::shard::{Kinds, Record};
use crate::store::{Counts, Entry, Examined, Finding, OpenError};

#[derive(Debug, thiserror::Error)]
enum CheckDataError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("read the records: {0}; check again")]
    Read(#[from] io::Error),
}

impl CheckDataError {
    /// What is damaged, if that is why the data could not be looked at.
    fn damage(&self) -> Option<Finding> {
        match self {
            Self::Source(error) => error.damage(),
            Self::Open(error) => error.damage(),
            Self::Read(_) | Self::Key(_) => None,
        }
    }
}

/// What was found, as machines read it.
#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    data_dir: String,
    /// A server runs: its records were checked, and not the files they come from.
    through_server: bool,
    format: Option<u32>,
    /// What is null was not looked at, or cannot be known.
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
    records: Option<u64>,
    bytes: u64,
}

/// Checks.
pub(super) fn run(args: &CheckDataArgs, settings: &StorageSettings) -> Answer {
    let mut progress = Progress::of("checking", args.quiet);
    let checked = check_data(settings, &mut progress);
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

fn check_data(settings: &StorageSettings, progress: &mut Progress) -> Result<Report, CheckDataError> {
    let looked = match Source::of_server(&settings.data_dir, progress) {
        Ok(source) => through_server(source, settings, progress),
        Err(SourceError::Control(ControlError::NobodyListens(_) | ControlError::PathTooLong(_))) => {
            directory(settings)
        }
        Err(error) => Err(error.into()),
    };
    let report = match looked {
        Ok(report) => report,
        // What cannot even be opened, because a part of it is gone.
        Err(error) => {
            let mut damage = vec![error.damage().ok_or(error)?.into()];
            let key = Some(key::look(settings, None, &mut damage)?);
            Report { key, damage, ..Report::default() }
        }
    };
    let data_dir = settings.data_dir.display().to_string();
    Ok(Report { ok: report.damage.is_empty(), data_dir, ..report })
}

fn judge(entry: &Entry, kinds: &Kinds) -> Result<(), String> {
    check(entry, kinds)
        .map_err(|what| format!("the record of {} is damaged: {what}", name(&entry.key, kinds)))
}

/// Numbers, sends, and records of every other kind.
fn in_three(counts: &Counts) -> (u64, u64, u64) {
    let (numbers, sends) = (counts.of(NumberState::KIND), counts.of(Track::KIND));
    (numbers, sends, counts.total() - numbers - sends)
}

fn through_server(
    source: Source,
    settings: &StorageSettings,
    progress: &mut Progress,
) -> Result<Report, CheckDataError> {
    let Source { mut records, counts, key, .. } = source;
    progress.expect(counts.total());
    let mut report = Report { through_server: true, ..Report::default() };
    let (kinds, (numbers, sends, others)) = (every_kind(), in_three(&counts));
    (report.numbers, report.sends, report.others) = (Some(numbers), Some(sends), Some(others));
    report.key = Some(key::look_beside_a_server(settings, &key, &mut report.damage)?);
    let mut seen = 0;
    while let Some(entry) = records.next_entry()? {
        seen += 1;
        progress.at(seen);
        let version = entry.record.first().copied().unwrap_or_default();
        *report.versions.entry(version_of(&kinds, entry.key.kind, version)).or_default() += 1;
        if let Err(what) = judge(&entry, &kinds) {
            let advice = "stop the server and check again: docs/data-directory.md says what can be done";
            report.damage.push(Damage { file: None, at: None, what, advice: advice.to_owned() });
        }
    }
    Ok(report)
}

fn directory(settings: &StorageSettings) -> Result<Report, CheckDataError> {
    let directory = source::open(&settings.data_dir)?;
    let kinds = every_kind();
    let mut damage = Vec::new();
    let examined = directory.examine(
        Timestamp::EPOCH,
        &|entry: &Entry| judge(entry, &kinds),
        &mut |found: Finding| {
            damage.push(Damage::from(found));
        },
    )?;
    // Before it is complete, nothing in it was written with a key.
    let key = match directory.is_new() {
        Ok(false) => Some(key::look(settings, Some(directory.key_fingerprint()), &mut damage)?),
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
        journal: examined.journal_read.then(|| journal(&examined)),
        damage,
        ..Report::default()
    })
}

fn journal(examined: &Examined) -> JournalReport {
    JournalReport {
        segments: examined.segments,
        frames: examined.frames,
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

fn version_of(kinds: &Kinds, kind: u8, version: u8) -> String {
    let plural = kinds.get(kind).map_or("unknown records", |kind| kind.plural);
    format!("{plural}, version {version}")
}
