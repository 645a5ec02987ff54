//! Writing an export, and reading it back.

use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id, record_id_parts};
use crate::engine::{NumberState, SlotHash};
use crate::shard::{Kinds, Record as _, VERSION};
use crate::store::{FORMAT, Key, StoreError};
use crate::verification::NumberKey;

/// The longest line that is read, in bytes. The longest that is written has some ten thousand.
const LONGEST_LINE: u64 = 1024 * 1024;

/// The format name in the first line.
const NAME: &str = "onceward export";

/// Marks the record of a test number in a line.
const TEST: &str = "test:";

/// Marks the record of a number whose codes are carried.
const CARRIED: &str = "carried:";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    is: String,
    format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// The moment that the export shows.
    pub exported_at: Timestamp,
    /// Tells the server key that it was written with from others, in 32 hex digits.
    pub key: String,
}

impl Header {
    /// Of an export that this program writes.
    pub fn new(exported_at: Timestamp, key: String) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { is: NAME.to_owned(), format: FORMAT, program, exported_at, key }
    }
}

/// A record of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRecord {
    pub key: Key,
    /// From then on it no longer matters.
    pub expires: Timestamp,
    /// The record as it is stored.
    pub record: Bytes,
}

/// Any line but the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum ExportLine {
    Record(RecordLine),
    End(EndLine),
}

/// One record. It contains its own expiry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine {
    /// The kind's name, such as `numbers`.
    kind: String,
    /// The layout of `record`.
    version: u8,
    service: u32,
    /// E.164 for numbers, else 16 hexadecimal digits.
    subject: String,
    record: Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    kind: String,
    records: u64,
    /// Of every byte before this line.
    sha256: String,
}

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("write the export: {0}")]
    Io(#[from] io::Error),
    #[error("a record has no form in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the record of {what} cannot be read: {error}")]
    Record {
        /// The subject of the record, masked.
        what: String,
        error: StoreError,
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
    pub fn begin(to: W, header: &Header) -> Result<Self, ExportError> {
        let mut writer = Self { to, sum: Sha256::new(), records: 0, buffer: Vec::new() };
        writer.line(header)?;
        Ok(writer)
    }

    pub fn write(&mut self, entry: &CopiedRecord, kinds: &Kinds) -> Result<(), ExportError> {
        let kind = kinds.get(entry.key.kind);
        let json = kind.and_then(|kind| Ok((kind, (kind.to_json)(&entry.record)?)));
        let (kind, record) =
            json.map_err(|error| ExportError::Record { what: name(&entry.key, kinds), error })?;
        let line = ExportLine::Record(RecordLine {
            kind: kind.plural.to_owned(),
            version: VERSION,
            service: record_id_parts(entry.key.id).0.get(),
            subject: subject_text(&entry.key),
            record,
        });
        self.records += 1;
        self.line(&line)
    }

    /// Writes the last line. Returns the writer and the number of records.
    pub fn finish(mut self) -> Result<(W, u64), ExportError> {
        let sha256 = base16ct::lower::encode_string(&self.sum.finalize_reset());
        let records = self.records;
        self.line(&ExportLine::End(EndLine { kind: "end".to_owned(), records, sha256 }))?;
        self.to.flush()?;
        Ok((self.to, records))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.sum.update(&self.buffer);
        Ok(self.to.write_all(&self.buffer)?)
    }
}

/// Why a file is not a complete export. Each text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("read the export: {0}")]
    Io(#[from] io::Error),
    /// The first line is not that of an export.
    #[error(
        "line 1 is not the first line of an export of onceward; name a file that `onceward export` has written, and \
         decompress a compressed one first: `zcat FILE | onceward import -`"
    )]
    NoExport,
    /// A newer version of the program wrote it.
    #[error(
        "the export has format {found}, written by onceward {program}, and this program reads formats up to {FORMAT}; \
         import it with that version or a later one"
    )]
    NewerFormat { found: u64, program: String },
    #[error(
        "line {line}: {what}; use another copy of the file, or export again; if a later version of onceward wrote it, \
         import it with that version"
    )]
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
    records: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`ImportError`], when it is none or that of a newer format.
    pub fn begin(from: R) -> Result<(Header, Self), ImportError> {
        let mut reader = Self { from, sum: Sha256::new(), line: 0, records: 0, bytes: Vec::new() };
        match reader.next_line() {
            Ok(true) => {}
            Err(error @ ImportError::Io(_)) => return Err(error),
            _ => return Err(ImportError::NoExport),
        }
        // Before anything that may be otherwise in another format.
        let any: Value = serde_json::from_slice(&reader.bytes).map_err(|_| ImportError::NoExport)?;
        match any["format"].as_u64().filter(|_| any["is"] == NAME) {
            None | Some(0) => return Err(ImportError::NoExport),
            Some(found) if found > FORMAT.into() => {
                // The message goes to a terminal, and the file may be forged.
                let program = any["program"].as_str().unwrap_or_default().chars();
                let program = program.filter(char::is_ascii_graphic).take(20).collect();
                return Err(ImportError::NewerFormat { found, program });
            }
            Some(_) => {}
        }
        let header = reader.parsed()?;
        reader.sum.update(&reader.bytes);
        Ok((header, reader))
    }

    /// The next record; `None` after the last, if the sum is right. Not to be called again then.
    ///
    /// # Errors
    /// [`ImportError`]; the records before it must then not be used.
    pub fn next_entry(
        &mut self,
        kinds: &Kinds,
        slots: &SlotHash,
    ) -> Result<Option<CopiedRecord>, ImportError> {
        if !self.next_line()? {
            return Err(ImportError::Cut { lines: self.line });
        }
        let line = match self.parsed()? {
            ExportLine::End(end) if end.kind == "end" => return self.end(&end).map(|()| None),
            ExportLine::End(_) => return Err(self.damaged("it is not as it was written")),
            ExportLine::Record(line) => line,
        };
        self.sum.update(&self.bytes);
        self.records += 1;
        entry(line, kinds, slots).map(Some).map_err(|what| self.damaged(what))
    }

    fn end(&mut self, end: &EndLine) -> Result<(), ImportError> {
        let found = self.records;
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
        Ok(())
    }

    fn next_line(&mut self) -> Result<bool, ImportError> {
        self.bytes.clear();
        self.from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.bytes)?;
        if self.bytes.is_empty() {
            return Ok(false);
        }
        self.line += 1;
        if self.bytes.ends_with(b"\n") {
            return Ok(true);
        }
        if self.bytes.len() as u64 >= LONGEST_LINE {
            return Err(self.damaged("the line is longer than any can be"));
        }
        Err(ImportError::Cut { lines: self.line })
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self) -> Result<T, ImportError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| self.damaged(format!("it is not as it was written: {error}")))
    }

    fn damaged(&self, what: impl Into<String>) -> ImportError {
        ImportError::Damaged { line: self.line, what: what.into() }
    }
}

fn entry(line: RecordLine, kinds: &Kinds, slots: &SlotHash) -> Result<CopiedRecord, String> {
    let RecordLine { kind: plural, version, service, subject, record } = line;
    let kind = kinds.0.iter().find(|kind| kind.plural == plural);
    let kind = kind.ok_or_else(|| format!("unknown `kind` {plural:?}"))?;
    let subject = subject_of(kind.kind, &subject).ok_or("`subject` is not valid for this kind")?;
    let record = (kind.from_json)(version, record).map_err(|error| error.to_string())?;
    let id = record_id(ServiceId::new(service), subject);
    let slot = (kind.slot)(&id, slots);
    let expires = (kind.expires)(&record).map_err(|error| error.to_string())?;
    Ok(CopiedRecord { key: Key { slot, kind: kind.kind, id }, expires, record })
}

/// Checks that a stored record can be decoded and that its expiry matches its content.
pub fn check(entry: &CopiedRecord, kinds: &Kinds) -> Result<(), ExportError> {
    let kind = kinds.get(entry.key.kind);
    let checked = kind.and_then(|kind| match (kind.expires)(&entry.record)? {
        expires if expires == entry.expires => Ok(()),
        _ => Err(StoreError::record(kind.plural, "its expiry is not the stored one")),
    });
    checked.map_err(|error| ExportError::Record { what: name(&entry.key, kinds), error })
}

/// The subject of a record for messages: a number is masked.
pub fn name(key: &Key, kinds: &Kinds) -> String {
    let (service, subject) = record_id_parts(key.id);
    let service = service.get();
    if let Some(key) = NumberKey::from_id(&key.id).filter(|_| key.kind == NumberState::KIND) {
        return format!("number {} in service {service}", key.number);
    }
    let plural = kinds.get(key.kind).map_or("records", |kind| kind.plural);
    format!("{subject:016x} of the {plural} in service {service}")
}

/// The subject, from the form that it has in a line.
fn subject_of(kind: u8, text: &str) -> Option<u64> {
    if kind == NumberState::KIND {
        let (of_test, carried) = (text.strip_prefix(TEST), text.strip_prefix(CARRIED));
        let digits = of_test.or(carried).unwrap_or(text).strip_prefix('+')?;
        let (service, number) = (ServiceId::DEFAULT, PhoneNumber::from_u64(digits.parse().ok()?)?);
        let (is_test, is_carried) = (of_test.is_some(), carried.is_some());
        let key = NumberKey { service, number, is_test, is_carried };
        return Some(record_id_parts(key.id()).1);
    }
    u64::from_str_radix(text, 16).ok().filter(|subject| format!("{subject:016x}") == text)
}

/// The subject in the form that it has in a line.
fn subject_text(key: &Key) -> String {
    match NumberKey::from_id(&key.id).filter(|_| key.kind == NumberState::KIND) {
        Some(NumberKey { number, is_test, is_carried, .. }) => {
            let mark = if is_test {
                TEST
            } else if is_carried {
                CARRIED
            } else {
                ""
            };
            format!("{mark}{}", number.e164())
        }
        None => format!("{:016x}", record_id_parts(key.id).1),
    }
}
