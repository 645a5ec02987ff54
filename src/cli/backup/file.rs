//! Writing an export, and reading it back.

use std::collections::HashSet;
use std::io::{self, BufRead, Read, Write};

use sha2::{Digest, Sha256};

use super::line::{self, AnyHeader, EndLine, EndMark, ExportLine, Header, HeaderLine, NAME, RecordLine};
use super::{FORMAT, name, subject_of, subject_text};
use crate::domain::{ServiceId, record_id, record_id_parts};
use crate::engine::SlotHash;
use crate::shard::{Kinds, RecordError};
use crate::store::{CopiedRecord, Key};

/// The longest line that is read, in bytes. The longest that is written has some ten thousand.
const LONGEST_LINE: u64 = 1024 * 1024;

/// The first bytes of a gzip file (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("write the export: {0}")]
    Io(#[from] io::Error),
    #[error("a record has no form in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "the record of {what} cannot be read: {error}; `onceward check-data` lists every such record; {}",
        error.remedy()
    )]
    Record {
        /// The subject of the record, masked.
        what: String,
        error: RecordError,
    },
}

/// Writes an export, record by record.
pub struct Writer<W> {
    to: W,
    sum: Sha256,
    records: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins with the first line. Writes small pieces: give it a buffered writer.
    ///
    /// # Errors
    /// A failed write.
    pub fn begin(to: W, header: &Header) -> Result<Self, ExportError> {
        let mut writer = Self { to, sum: Sha256::new(), records: 0, buffer: Vec::new() };
        line::encode(&mut writer.buffer, &HeaderLine::from(header))?;
        writer.flush_line()?;
        Ok(writer)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// A failed write, and [`ExportError::Record`].
    pub fn write(&mut self, entry: &CopiedRecord, kinds: &Kinds) -> Result<(), ExportError> {
        let kind = kinds.get(entry.key.kind).ok_or(RecordError::Kind(entry.key.kind));
        let json = kind.and_then(|kind| Ok((kind, (kind.to_json)(&entry.record)?)));
        let (kind, record) =
            json.map_err(|error| ExportError::Record { what: name(&entry.key, kinds), error })?;
        let line = ExportLine::Record(RecordLine {
            kind: kind.plural.to_owned(),
            service: record_id_parts(entry.key.id).0.get(),
            subject: subject_text(&entry.key),
            record,
        });
        line::encode(&mut self.buffer, &line)?;
        self.records += 1;
        self.flush_line()
    }

    /// Writes the last line. Returns the writer and the number of records.
    ///
    /// # Errors
    /// A failed write.
    pub fn finish(mut self) -> Result<(W, u64), ExportError> {
        let sha256 = base16ct::lower::encode_string(&self.sum.finalize_reset());
        line::encode(
            &mut self.buffer,
            &ExportLine::End(EndLine { kind: EndMark::End, records: self.records, sha256 }),
        )?;
        self.to.write_all(&self.buffer)?;
        self.to.flush()?;
        Ok((self.to, self.records))
    }

    fn flush_line(&mut self) -> Result<(), ExportError> {
        self.sum.update(&self.buffer);
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Why a file is not a complete export. Each text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("read the export: {0}")]
    Io(#[from] io::Error),
    /// The first line is not that of an export.
    #[error(
        "line 1 is not the first line of an export of onceward; name a file that `onceward export` has written"
    )]
    NoExport,
    #[error("line 1 is gzip data; decompress it first: `zcat FILE | onceward import -`")]
    Compressed,
    /// Another version of the program wrote it.
    #[error(
        "the export has format {found}, written by onceward {program}, and this program reads format {FORMAT}; import it \
         with that version"
    )]
    OtherFormat { found: u32, program: String },
    /// A line is not as it was written.
    #[error("line {line}: {what}; use another copy of the file, or export again")]
    Damaged { line: u64, what: String },
    #[error(
        "the export ends behind line {lines}, without its last line: it was cut off, or is still being written; use \
         another copy of the file, or export again"
    )]
    Cut { lines: u64 },
}

/// Reads an export, record by record. It is whole only when [`Reader::next_entry`] has said `None`.
pub struct Reader<R> {
    from: R,
    sum: Sha256,
    line: u64,
    /// Records have no order; therefore it takes all keys to see that none comes twice: 15 to 35 bytes for each.
    keys: HashSet<Key>,
    bytes: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`ImportError`], when it is none or that of a newer format.
    pub fn begin(from: R) -> Result<(Header, Self), ImportError> {
        let (sum, bytes) = (Sha256::new(), Vec::new());
        let mut reader = Self { from, sum, line: 0, keys: HashSet::new(), bytes, ended: false };
        let read = reader.next_line();
        // Checked first, because compressed bytes may contain line feeds.
        if reader.bytes.starts_with(&GZIP) {
            return Err(ImportError::Compressed);
        }
        if !read? {
            return Err(ImportError::NoExport);
        }
        // Before anything that may be otherwise in another format.
        let any: AnyHeader = serde_json::from_slice(&reader.bytes).map_err(|_| ImportError::NoExport)?;
        if any.is != NAME {
            return Err(ImportError::NoExport);
        }
        if any.format != FORMAT {
            // The message goes to a terminal, and the file may be forged.
            let program = any.program.chars().filter(char::is_ascii_graphic).take(20).collect();
            return Err(ImportError::OtherFormat { found: any.format, program });
        }
        let header: HeaderLine = reader.parsed()?;
        reader.sum.update(&reader.bytes);
        reader.sum.update(b"\n");
        Ok((header.into(), reader))
    }

    /// The next record; `None` after the last, if all sums were right.
    ///
    /// # Errors
    /// [`ImportError`]; the records before it must then not be used.
    pub fn next_entry(
        &mut self,
        kinds: &Kinds,
        slots: &SlotHash,
    ) -> Result<Option<CopiedRecord>, ImportError> {
        if self.ended {
            return Ok(None);
        }
        if !self.next_line()? {
            return Err(ImportError::Cut { lines: self.line });
        }
        let line = match self.parsed()? {
            ExportLine::End(end) => return self.end(&end).map(|()| None),
            ExportLine::Record(line) => line,
        };
        self.sum.update(&self.bytes);
        self.sum.update(b"\n");
        let entry = entry(line, kinds, slots).map_err(|what| self.damaged(what))?;
        if !self.keys.insert(entry.key) {
            let what = format!("{} is in an earlier line as well", name(&entry.key, kinds));
            return Err(self.damaged(what));
        }
        Ok(Some(entry))
    }

    /// The number of the line that was read last.
    pub const fn line(&self) -> u64 {
        self.line
    }

    fn end(&mut self, end: &EndLine) -> Result<(), ImportError> {
        let found = self.keys.len() as u64;
        if end.records != found {
            let what = format!("there are {found} records, and {} were written", end.records);
            return Err(self.damaged(what));
        }
        if end.sha256 != base16ct::lower::encode_string(&self.sum.finalize_reset()) {
            return Err(self.damaged("the sum of all lines is not the one that was written"));
        }
        if self.next_line()? {
            return Err(self.damaged("there is more behind the last line"));
        }
        self.ended = true;
        Ok(())
    }

    fn next_line(&mut self) -> Result<bool, ImportError> {
        self.bytes.clear();
        self.from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.bytes)?;
        if self.bytes.is_empty() {
            return Ok(false);
        }
        self.line += 1;
        if self.bytes.pop() == Some(b'\n') {
            return Ok(true);
        }
        if self.bytes.len() as u64 + 1 >= LONGEST_LINE {
            return Err(self.damaged("the line is longer than any can be"));
        }
        Err(ImportError::Cut { lines: self.line })
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self) -> Result<T, ImportError> {
        let json = line::checked(&self.bytes).ok_or_else(|| {
            self.damaged("the line is not as it was written: its sum (crc32c) is missing or another")
        })?;
        serde_json::from_slice(&json).map_err(|error| self.damaged(error.to_string()))
    }

    fn damaged(&self, what: impl Into<String>) -> ImportError {
        ImportError::Damaged { line: self.line, what: what.into() }
    }
}

fn entry(line: RecordLine, kinds: &Kinds, slots: &SlotHash) -> Result<CopiedRecord, String> {
    let RecordLine { kind: plural, service, subject, record } = line;
    let kind = kinds.iter().find(|kind| kind.plural == plural);
    let kind = kind.ok_or_else(|| format!("unknown `kind` {plural:?}"))?;
    let subject = subject_of(kind.kind, &subject).ok_or("`subject` is not valid for this kind")?;
    let record = (kind.from_json)(record).map_err(|error| error.to_string())?;
    let id = record_id(ServiceId::new(service), subject);
    let slot = (kind.slot)(&record, &id, slots).map_err(|error| error.to_string())?;
    let expires = (kind.expires)(&record).map_err(|error| error.to_string())?;
    Ok(CopiedRecord { key: Key { slot, kind: kind.kind, id }, expires, record })
}
