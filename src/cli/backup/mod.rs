//! `onceward export`, `onceward import`, `onceward check-data`.

mod check_data;
mod export;
mod import;
pub(super) mod progress;
pub(super) mod source;

use super::Answer;
use super::args::{CheckDataArgs, ExportArgs, ImportArgs};
use crate::attempts::AttemptLog;
use crate::config::StorageSettings;
use crate::engine::NumberState;
use crate::shard::Record;
use crate::store::Counts;

/// The data is damaged, or the file is no export (`EX_DATAERR` of sysexits).
const EXIT_DAMAGED: u8 = 65;

/// It could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

pub(super) enum Backup {
    Export(ExportArgs),
    Import(ImportArgs),
    CheckData(CheckDataArgs),
}

pub(super) fn run(what: &Backup, settings: &StorageSettings) -> Answer {
    match what {
        Backup::Export(args) => export::run(args, settings),
        Backup::Import(args) => import::run(args, settings),
        Backup::CheckData(args) => check_data::run(args, settings),
    }
}

fn failed(code: u8, error: &dyn std::fmt::Display) -> Answer {
    Answer { code, err: format!("error: {error}\n"), ..Answer::default() }
}

/// Numbers, sends, and records of every other kind.
fn in_three(counts: &Counts) -> (u64, u64, u64) {
    let (numbers, sends) = (counts.of(NumberState::KIND), counts.of(AttemptLog::KIND));
    (numbers, sends, counts.total() - numbers - sends)
}
