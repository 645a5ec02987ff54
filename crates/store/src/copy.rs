//! A copy of every record as of one moment, as it is kept in a file and sent over a socket.
//!
//! ```text
//! entry: 1 | slot 1 | kind 1 | id 12 | expires 8 | length 4 | record
//! end:   0 | entries 8
//! ```
//! Integers are big-endian. Each key occurs once, in no order. The end has the number of entries: a truncated copy is
//! invalid.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;

use crate::stream::{self, RECORD_HEAD};
use crate::{Key, LONGEST_RECORD, Slots, Store, StoreError};

const ENTRY: u8 = 1;
const END: u8 = 0;

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// One record of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRecord {
    pub key: Key,
    /// From then on it no longer matters.
    pub expires: Timestamp,
    /// The record as it is stored.
    pub record: Bytes,
}

/// A finished copy.
#[derive(Debug)]
pub struct Copied {
    /// An unlinked file, positioned at its start. The system frees it when it is dropped.
    pub file: File,
    pub counts: RecordCounts,
}

/// The number of records of each kind.
pub type RecordCounts = BTreeMap<u8, u64>;

/// Copies every live record into a file of `directory`, as of one moment: every batch acknowledged before the call is in
/// it, and of every other batch all or nothing. `progress` is the number of records so far; the copy is canceled when
/// the caller has dropped its handle on it.
///
/// # Errors
/// [`StoreError::Unavailable`] when the copy was canceled or the disk is full, and the store's errors.
pub async fn copy(
    store: &dyn Store,
    directory: &Path,
    progress: Arc<AtomicU64>,
) -> Result<Copied, StoreError> {
    let file = nameless(directory).map_err(|error| not_written(&error))?;
    let to = Arc::new(Mutex::new((BufWriter::with_capacity(BUFFER_BYTES, file), RecordCounts::default())));
    let (writer, mut total, mut buffer) = (Arc::clone(&to), 0_u64, Vec::new());
    let visit = move |key: Key, expires, record: &[u8]| {
        let (file, counts) = &mut *writer.lock();
        buffer.clear();
        buffer.push(ENTRY);
        stream::encode(&mut buffer, key, expires, record);
        file.write_all(&buffer).map_err(|error| not_written(&error))?;
        *counts.entry(key.kind).or_default() += 1;
        total += 1;
        progress.store(total, Ordering::Relaxed);
        if Arc::strong_count(&progress) == 1 { Err(not_written(&"it was canceled")) } else { Ok(()) }
    };
    store.restore(Slots::all(), Box::new(visit)).await?;
    let (file, counts) = &mut *to.lock();
    let mut finish = || {
        file.write_all(&[END])?;
        file.write_all(&counts.values().sum::<u64>().to_be_bytes())?;
        file.rewind()?;
        file.get_ref().try_clone()
    };
    let file = finish().map_err(|error| not_written(&error))?;
    Ok(Copied { file, counts: std::mem::take(counts) })
}

fn not_written(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("the copy cannot be written: {why}"))
}

/// The files that this process has named.
static FILES: AtomicU64 = AtomicU64::new(0);

/// A file of `directory` that only this process can reach: it has a name for an instant and is unlinked then. A name that
/// exists is not used: other users may have files in the directory.
fn nameless(directory: &Path) -> io::Result<File> {
    loop {
        let count = FILES.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("copy-{}-{count}.tmp", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.and_then(|file| fs::remove_file(path).map(|()| file)),
        }
    }
}

/// Reads a copy back.
#[derive(Debug)]
pub struct CopyReader<R> {
    from: R,
    entries: u64,
    ended: bool,
}

impl<R: Read> CopyReader<R> {
    /// Reads what [`copy`] wrote. Reads small pieces; therefore `from` should be buffered.
    pub const fn new(from: R) -> Self {
        Self { from, entries: 0, ended: false }
    }

    /// The next entry; `None` after the last one of a complete copy.
    ///
    /// # Errors
    /// The reader's errors, and [`io::ErrorKind::InvalidData`] for anything but a complete copy.
    pub fn next_entry(&mut self) -> io::Result<Option<CopiedRecord>> {
        if self.ended {
            return Ok(None);
        }
        match self.array()? {
            [ENTRY] => {}
            [END] => {
                let entries = u64::from_be_bytes(self.array()?);
                if entries != self.entries {
                    return Err(damaged("the copy does not have as many records as it says"));
                }
                self.ended = true;
                return Ok(None);
            }
            _ => return Err(damaged("the copy has an entry that this program does not know")),
        }
        let (key, expires, length) = stream::decode_head(&self.array::<RECORD_HEAD>()?);
        if length > LONGEST_RECORD {
            return Err(damaged("the copy has a record that is longer than any can be"));
        }
        let mut record = vec![0; length];
        self.from.read_exact(&mut record)?;
        self.entries += 1;
        Ok(Some(CopiedRecord { key, expires, record: record.into() }))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<CopiedRecord>> {
        let mut reader = CopyReader::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    fn encode_entry(to: &mut Vec<u8>, entry: &CopiedRecord) {
        to.push(ENTRY);
        stream::encode(to, entry.key, entry.expires, &entry.record);
    }

    fn encode_end(to: &mut Vec<u8>, entries: u64) {
        to.push(END);
        to.extend_from_slice(&entries.to_be_bytes());
    }

    proptest! {
        #[test]
        fn a_copy_is_read_back_and_no_part_of_it_is_a_copy(
            records in vec((any::<(u8, u8, [u8; 12])>(), any::<u64>(), any::<Vec<u8>>()), 0..20),
            cut: prop::sample::Index,
        ) {
            let entry = |((slot, kind, id), expires, record): ((u8, u8, [u8; 12]), u64, Vec<u8>)| CopiedRecord {
                key: Key { slot, kind, id }, expires: Timestamp::from_millis(expires), record: record.into(),
            };
            let entries: Vec<CopiedRecord> = records.into_iter().map(entry).collect();
            let mut bytes = Vec::new();
            for entry in &entries {
                encode_entry(&mut bytes, entry);
            }
            encode_end(&mut bytes, entries.len() as u64);
            prop_assert_eq!(read(&bytes).expect("a copy"), entries);
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_file_that_a_crash_left_is_passed_over() {
        let directory = TempDir::new().expect("a directory");
        let left = |count: u64| directory.path().join(format!("copy-{}-{count}.tmp", std::process::id()));
        let next = FILES.load(Ordering::Relaxed);
        (next..next + 8).for_each(|count| fs::write(left(count), "left").expect("a file"));
        nameless(directory.path()).expect("a file").write_all(b"copy").expect("written");
        (next..next + 8).for_each(|count| assert_eq!(fs::read(left(count)).expect("a file"), b"left"));
    }

    #[test]
    fn a_copy_with_too_few_records_is_refused() {
        let mut bytes = Vec::new();
        let (key, record) = (Key { slot: 0, kind: 1, id: [0; 12] }, Bytes::from_static(b"record"));
        encode_entry(&mut bytes, &CopiedRecord { key, expires: Timestamp::EPOCH, record });
        encode_end(&mut bytes, 2);
        assert_eq!(read(&bytes).expect_err("no copy").kind(), io::ErrorKind::InvalidData);
    }
}
