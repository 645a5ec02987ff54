//! The records of a data directory, on which a server may run.

use super::answer::json_line;
use super::error::CommandError;
use crate::config::StorageSettings;
use crate::delivery::attempts::AttemptLog;
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{NumberState, key_fingerprint};
use crate::http::tls::absolute;
use crate::shard::Record as _;
use crate::store::{CopiedRecord, LiveRecords};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The number of records of each kind.
pub type RecordCounts = BTreeMap<u8, u64>;

/// Every record as of one moment. Nothing in the directory changes.
pub struct Source {
    records: LiveRecords,
    /// The fingerprint of the server key.
    pub key: String,
    pub at: Timestamp,
}

impl Source {
    pub fn open(settings: &StorageSettings) -> Result<Self, CommandError> {
        let found = LiveRecords::read(&settings.data_dir)?;
        let shown = || absolute(&settings.data_dir).display().to_string();
        let (key, records) = found.ok_or_else(|| CommandError::NoData(shown()))?;
        Ok(Self { key, at: records.newest_time(), records })
    }

    /// Passes every record to `visit`. Returns their numbers.
    pub fn each(
        self,
        visit: &mut dyn FnMut(CopiedRecord) -> Result<(), CommandError>,
    ) -> Result<RecordCounts, CommandError> {
        let mut counts = RecordCounts::default();
        self.records.each(self.at, &mut |key, expires, record| {
            *counts.entry(key.kind).or_default() += 1;
            visit(CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) })
        })?;
        Ok(counts)
    }
}

/// What a command prints about so many records: words with their numbers, or JSON with `more` figures.
pub fn said(
    counts: &RecordCounts,
    more: &[(&str, u64)],
    (json, is_quiet): (bool, bool),
    words: impl FnOnce(String) -> String,
) -> String {
    let of = |kind| counts.get(&kind).copied().unwrap_or_default();
    let (numbers, sends) = (of(NumberState::KIND), of(AttemptLog::KIND));
    let others = counts.values().sum::<u64>() - numbers - sends;
    if json {
        let figures = [("numbers", numbers), ("sends", sends), ("others", others)];
        json_line(&figures.iter().chain(more).copied().collect::<BTreeMap<_, _>>())
    } else if is_quiet {
        String::new()
    } else {
        words(format!("{numbers} numbers, the sends of {sends} verifications and {others} other records"))
    }
}

/// Whether this is the key with a fingerprint in hexadecimal digits.
pub fn is_of(key: &ServerKey, fingerprint: &str) -> bool {
    base16ct::lower::encode_string(&key_fingerprint(key)) == fingerprint
}
