//! Writing an export.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::line::{self, EndLine, Header, HeaderLine, Line};
use super::moment::Moment;
use super::number::NumberLine;
use super::other::OtherLine;
use super::sends::SendsLine;
use super::{Content, ContentError, Item};
use crate::domain::PhoneNumber;
use crate::store::{Entry, Kind};

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
        error: ContentError,
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
    pub fn write(&mut self, entry: &Entry) -> Result<(), ExportError> {
        let item = Item::decode(entry).map_err(|error| ExportError::Record { what: name(entry), error })?;
        let gc_after = Moment(item.gc_after);
        let line = match &item.content {
            Content::Number(service, number, state) => {
                NumberLine::of(*service, *number, state, gc_after).map(|line| Line::Number(Box::new(line)))
            }
            Content::Sends(key, track) => Some(Line::Sends(Box::new(SendsLine::of(*key, track, gc_after)))),
            Content::Other(other) => Some(Line::Other(Box::new(OtherLine::of(other, gc_after)))),
        };
        let Some(line) = line else { return Ok(()) };
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
        line::encode(&mut self.buffer, &Line::End(EndLine { records: self.records, sha256 }))?;
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

/// Whose record it is, as a message may say it.
pub(super) fn name(entry: &Entry) -> String {
    let (service, subject) = (entry.key.service.get(), entry.key.subject.0);
    match entry.key.kind {
        Kind::Number => match PhoneNumber::from_u64(subject) {
            Some(number) => format!("number {number} in service {service}"),
            None => format!("an impossible number in service {service}"),
        },
        Kind::Track => format!("verification {subject:016x} in service {service}"),
        other => format!("{subject:016x} of the {} in service {service}", other.plural()),
    }
}
