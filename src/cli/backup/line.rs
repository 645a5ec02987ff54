//! The lines of an export, and the sum that each ends with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Timestamp;

/// The format name in the first line.
pub(super) const NAME: &str = "onceward export";

/// The end of every line, around 8 hex digits: the CRC-32C of all of the line before it.
const BEFORE_SUM: &str = ",\"crc32c\":\"";
const AFTER_SUM: &str = "\"}";
const SUM_DIGITS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    pub(super) is: String,
    pub(super) format: u32,
    pub(super) program: String,
    pub(super) exported_at: Timestamp,
    pub(super) key: String,
}

/// The first line of any version.
#[derive(Deserialize)]
pub(super) struct AnyHeader {
    pub(super) is: String,
    pub(super) format: u32,
    #[serde(default)]
    pub(super) program: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the program that wrote it.
    pub program: String,
    /// The moment that the export shows.
    pub exported_at: Timestamp,
    /// Tells the server key that it was written with from others, in 32 hex digits.
    pub key: String,
}

/// Any line but the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ExportLine {
    Record(RecordLine),
    End(EndLine),
}

/// One record. It contains its own expiry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine {
    /// The kind's name, such as `numbers`.
    pub(super) kind: String,
    pub(super) service: u32,
    /// E.164 for numbers, else 16 hexadecimal digits.
    pub(super) subject: String,
    pub(super) record: Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    pub(super) kind: EndMark,
    pub(super) records: u64,
    pub(super) sha256: String,
}

/// The kind of the last line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndMark {
    End,
}

impl From<HeaderLine> for Header {
    fn from(line: HeaderLine) -> Self {
        let HeaderLine { is: _, format: _, program, exported_at, key } = line;
        Self { program, exported_at, key }
    }
}

impl From<&Header> for HeaderLine {
    fn from(header: &Header) -> Self {
        Self {
            is: NAME.to_owned(),
            format: super::FORMAT,
            program: header.program.clone(),
            exported_at: header.exported_at,
            key: header.key.clone(),
        }
    }
}

/// Appends one line with its sum to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, line: &impl Serialize) -> Result<(), serde_json::Error> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, line)?;
    // The brace at the end: the sum takes its place.
    buffer.pop();
    let sum = crc32c::crc32c(&buffer[start..]);
    buffer.extend_from_slice(format!("{BEFORE_SUM}{sum:08x}{AFTER_SUM}\n").as_bytes());
    Ok(())
}

/// The line without its sum, as JSON; `None` if the sum is missing or another one.
pub(super) fn checked(line: &[u8]) -> Option<Vec<u8>> {
    let rest = line.strip_suffix(AFTER_SUM.as_bytes())?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(SUM_DIGITS)?)?;
    let content = rest.strip_suffix(BEFORE_SUM.as_bytes())?;
    let sum = format!("{:08x}", crc32c::crc32c(content));
    (sum.as_bytes() == digits).then(|| [content, b"}"].concat())
}
