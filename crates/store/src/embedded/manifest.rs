//! The manifest of a snapshot: its counts, what it covers, and the length and checksum of each file.

use std::fmt::Write as _;

use onceward_core::domain::Timestamp;

use super::frame::LAST_NUMBER;
use super::replay::Covered;

/// The layout of the manifest.
const VERSION: u64 = 1;

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Manifest {
    pub(super) covered: Covered,
    /// The decision time up to which it is.
    pub(super) time: Timestamp,
    pub(super) records: u64,
    pub(super) chunks: u64,
    /// The CRC-32C of the checksums of all chunks.
    checksum: u32,
    pub(super) files: Vec<FileSum>,
}

/// A file of a snapshot's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSum {
    /// Within the database's directory.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

impl Manifest {
    /// Of a snapshot without a record.
    pub(super) fn empty(covered: Covered, time: Timestamp) -> Self {
        Self { covered, time, ..Self::default() }
    }

    /// The size of the database's files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn has_same_chunks(&self, other: &Self) -> bool {
        (self.records, self.chunks, self.checksum) == (other.records, other.chunks, other.checksum)
    }

    pub(super) fn encode(&self) -> String {
        let Covered { segment, sequence } = self.covered;
        let mut text = format!(
            "onceward snapshot\nversion = {VERSION}\nsegment = {segment}\nsequence = {sequence}\ntime = {}\nrecords = {}\nchunks = {}\n\
             chunk checksum = {:08x}\n",
            self.time.as_millis(),
            self.records,
            self.chunks,
            self.checksum
        );
        for FileSum { name, bytes, checksum } in &self.files {
            let _ = writeln!(text, "file = {checksum:08x} {bytes} {name}");
        }
        let _ = writeln!(text, "checksum = {:08x}", crc32c::crc32c(text.as_bytes()));
        text
    }

    /// `None` for anything but what [`Manifest::encode`] makes.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?;
        let mut number = |name: &str| -> Option<u64> {
            lines.next()?.strip_prefix(name)?.strip_prefix(" = ")?.parse().ok()
        };
        if number("version")? != VERSION {
            return None;
        }
        let covered = Covered { segment: number("segment")?, sequence: number("sequence")? };
        let time = Timestamp::from_millis(number("time")?);
        let (records, chunks) = (number("records")?, number("chunks")?);
        let checksum = u32::from_str_radix(lines.next()?.strip_prefix("chunk checksum = ")?, 16).ok()?;
        let file = |line: &str| -> Option<FileSum> {
            let mut fields = line.strip_prefix("file = ")?.splitn(3, ' ');
            let checksum = u32::from_str_radix(fields.next()?, 16).ok()?;
            let bytes = fields.next()?.parse().ok()?;
            let name = fields.next()?.to_owned();
            // Neither out of the directory nor into one that sled does not make.
            let parts: Vec<&str> = name.split('/').collect();
            let is_plain = parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
            (parts.len() <= 2 && is_plain).then_some(FileSum { name, bytes, checksum })
        };
        let files = lines.map_while(file).collect();
        let manifest = Self { covered, time, records, chunks, checksum, files };
        let counts_on = covered.segment.max(covered.sequence) < LAST_NUMBER;
        (counts_on && manifest.encode() == text).then_some(manifest)
    }

    /// Counts a chunk of the database.
    pub(super) fn add_chunk(&mut self, records: u32, checksum: u32) {
        self.chunks += 1;
        self.records += u64::from(records);
        self.checksum = crc32c::crc32c_append(self.checksum, &checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_no_file_outside_its_directory() {
        let reads = |name: &str| {
            let file = FileSum { name: name.to_owned(), bytes: 1, checksum: 1 };
            let manifest = Manifest { files: vec![file], ..Manifest::default() };
            Manifest::decode(&manifest.encode()) == Some(manifest)
        };
        assert!(["db", "blobs/1"].into_iter().all(reads));
        for elsewhere in ["..", "../db", "./db", "/db", "blobs/", "blobs/1/2", ""] {
            assert!(!reads(elsewhere), "{elsewhere}");
        }
    }
}
