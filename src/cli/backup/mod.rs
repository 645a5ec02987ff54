//! `onceward export`, `onceward import`, `onceward check-data`.

mod check_data;
mod export;
mod import;
mod out;
pub(super) mod progress;
pub(super) mod source;

use super::Answer;
use super::args::{CheckDataArgs, ExportArgs, ImportArgs};
use crate::config::StorageSettings;

/// The data is damaged, or the file is no export (`EX_DATAERR` of sysexits).
const EXIT_DAMAGED: u8 = 65;

/// It could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

/// What is to be done.
pub(super) enum Backup {
    Export(ExportArgs),
    Import(ImportArgs),
    CheckData(CheckDataArgs),
}

/// Does it, and says what to print.
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
