//! Writing an export.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::line::{self, EndLine, EndMark, Header, HeaderLine, Line, RecordLine};
use super::moment::Moment;
use super::{name, split, subject_text};
use crate::shard::{Kinds, RecordError};
use crate::store::Entry;

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be written.
    #[error("write the export: {0}")]
    Io(#[from] io::Error),
    /// A line could not be made.
    #[error("a record has no form in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A record is damaged.
    #[error(
        "the record of {what} cannot be read: {error}; `onceward check-data` lists every record that is damaged, \
         docs/data-directory.md says what can be done"
    )]
    Record {
        /// Whose, masked.
        what: String,
        /// Why.
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
    /// Those of writing.
    pub fn begin(to: W, header: &Header) -> Result<Self, ExportError> {
        let mut writer = Self { to, sum: Sha256::new(), records: 0, buffer: Vec::new() };
        line::encode(&mut writer.buffer, &HeaderLine::from(header))?;
        writer.flush_line()?;
        Ok(writer)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// Those of writing, and [`ExportError::Record`].
    pub fn write(&mut self, entry: &Entry, kinds: &Kinds) -> Result<(), ExportError> {
        let kind = kinds.get(entry.key.kind).ok_or(RecordError::Kind(entry.key.kind));
        let json = kind.and_then(|kind| Ok((kind, (kind.to_json)(&entry.record)?)));
        let (kind, record) =
            json.map_err(|error| ExportError::Record { what: name(&entry.key, kinds), error })?;
        let line = Line::Record(RecordLine {
            kind: kind.plural.to_owned(),
            service: split(&entry.key.id).0,
            subject: subject_text(&entry.key),
            expires: Moment(entry.expires),
            record,
        });
        line::encode(&mut self.buffer, &line)?;
        self.records += 1;
        self.flush_line()
    }

    /// Writes the last line, and hands back what was written to. Says how many records there are.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> Result<(W, u64), ExportError> {
        let sha256 = base16ct::lower::encode_string(&self.sum.finalize_reset());
        line::encode(
            &mut self.buffer,
            &Line::End(EndLine { kind: EndMark::End, records: self.records, sha256 }),
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
