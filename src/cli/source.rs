//! The source of the records: the running server, or the directory if none runs; and the progress of a command.

use std::io::{BufReader, Write as _, stderr};
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::Response;

use super::client::Client;
use super::error::CommandError;
use crate::clock::{Clock, SystemClock};
use crate::config::StorageSettings;
use crate::delivery::attempts::AttemptLog;
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{NumberState, key_fingerprint};
use crate::http::answers::CopyHead;
use crate::http::tls::absolute;
use crate::shard::Record;
use crate::store::{
    CopiedRecord, CopyReader, DataDirectory, LiveRecords, RecordCounts, StoreError, key_fingerprint_in,
};

/// Every record as of one moment.
pub struct Source {
    records: Records,
    pub key: String,
    pub at: Timestamp,
    pub served: bool,
}

enum Records {
    /// A server's copy.
    Server(Box<CopyReader<BufReader<Response>>>),
    /// Those of a directory, under its lock.
    Directory(Box<(DataDirectory, LiveRecords)>),
}

impl Source {
    pub fn open(settings: &StorageSettings) -> Result<Self, CommandError> {
        match Self::of_server(&settings.data_dir) {
            Err(CommandError::Client(error)) if error.has_no_socket() => Self::of_directory(settings),
            found => found,
        }
    }

    pub fn of_server(data_dir: &Path) -> Result<Self, CommandError> {
        let (CopyHead { at }, stream) = Client::of(data_dir)?.copy()?;
        let key = key_fingerprint_in(data_dir).map_err(|error| explained(data_dir, error))?;
        Ok(Self { records: Records::Server(Box::new(CopyReader::new(stream))), key, at, served: true })
    }

    /// Of a directory that no server uses. Nothing in it changes.
    pub fn of_directory(settings: &StorageSettings) -> Result<Self, CommandError> {
        let directory = open(settings)?;
        let Some((key, _)) = directory.key_and_format()? else {
            return Err(CommandError::NoData(settings.data_dir.display().to_string()));
        };
        let (key, records) = (key.to_owned(), directory.find(&mut Err)?);
        let at = records.newest_time();
        Ok(Self { records: Records::Directory(Box::new((directory, records))), key, at, served: false })
    }

    /// Passes every record to `visit`. Returns their numbers.
    pub fn each(
        self,
        progress: &mut Progress,
        visit: &mut dyn FnMut(CopiedRecord) -> Result<(), CommandError>,
    ) -> Result<RecordCounts, CommandError> {
        let (mut counts, mut read) = (RecordCounts::default(), 0);
        let mut take = |entry: CopiedRecord, progress: &mut Progress| {
            read += 1;
            progress.at(read);
            *counts.entry(entry.key.kind).or_default() += 1;
            visit(entry)
        };
        match self.records {
            Records::Directory(directory) => {
                let (_locked, records) = *directory;
                records.each_copied(&mut |_, entry| take(entry, progress))?;
            }
            Records::Server(mut records) => {
                let failed = |error| {
                    CommandError::Failed(format!("cannot read the records: {error}; run the command again"))
                };
                while let Some(entry) = records.next_entry().map_err(failed)? {
                    take(entry, progress)?;
                }
            }
        }
        Ok(counts)
    }
}

/// Numbers, sends, and records of every other kind.
pub fn in_three(counts: &RecordCounts) -> (u64, u64, u64) {
    let of = |kind| counts.get(&kind).copied().unwrap_or_default();
    let (numbers, sends) = (of(NumberState::KIND), of(AttemptLog::KIND));
    (numbers, sends, counts.values().sum::<u64>() - numbers - sends)
}

/// Whether this is the key with a fingerprint in hexadecimal digits.
pub fn is_of(key: &ServerKey, fingerprint: &str) -> bool {
    base16ct::lower::encode_string(&key_fingerprint(key)) == fingerprint
}

/// A data directory that no server uses.
pub fn open(settings: &StorageSettings) -> Result<DataDirectory, CommandError> {
    let data_dir = &settings.data_dir;
    DataDirectory::open(data_dir).map_err(|error| explained(data_dir, error))
}

fn explained(data_dir: &Path, error: StoreError) -> CommandError {
    let shown = || absolute(data_dir).display().to_string();
    match error {
        StoreError::InUse { .. } => CommandError::NoSocket(shown()),
        error if error.is_not_found() => CommandError::NoData(shown()),
        error => CommandError::Open(error),
    }
}

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Looking at the clock costs as much as a small record does.
const RECORDS_PER_LOOK: u64 = 1024;

/// Lines on standard error; nothing with `--quiet`.
pub struct Progress {
    what: &'static str,
    clock: SystemClock,
    said: Timestamp,
    is_quiet: bool,
}

impl Progress {
    /// `what` names the work, such as "exporting".
    pub fn of(what: &'static str, is_quiet: bool) -> Self {
        let clock = SystemClock::start();
        Self { what, said: clock.now(), clock, is_quiet }
    }

    pub fn at(&mut self, records: u64) {
        if self.is_quiet
            || !records.is_multiple_of(RECORDS_PER_LOOK)
            || self.clock.now().since(self.said) < EVERY
        {
            return;
        }
        self.said = self.clock.now();
        // If standard error is closed, there is no reader.
        let _ = writeln!(stderr(), "{}: {records} records", self.what);
    }
}
