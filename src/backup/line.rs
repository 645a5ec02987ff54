//! The lines of an export, and the sum that each ends with.

use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::number::NumberLine;
use super::other::OtherLine;
use super::sends::SendsLine;
use crate::domain::Timestamp;

/// What the first line says that it is.
pub(super) const NAME: &str = "onceward export";

/// What every line ends with, around 8 hex digits: the CRC-32C of all of the line before it.
const BEFORE_SUM: &str = ",\"crc32c\":\"";
const AFTER_SUM: &str = "\"}";
const SUM_DIGITS: usize = 8;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    pub(super) is: String,
    pub(super) format: u32,
    pub(super) program: String,
    pub(super) exported_at: Moment,
    pub(super) key: String,
    pub(super) numbers: u64,
    pub(super) sends: u64,
    /// Not in format 1.
    #[serde(default)]
    pub(super) others: u64,
}

/// What any version's first line says.
#[derive(Deserialize)]
pub(super) struct AnyHeader {
    pub(super) is: String,
    pub(super) format: u32,
    #[serde(default)]
    pub(super) program: String,
}

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the program that wrote it.
    pub program: String,
    /// The moment it shows.
    pub exported_at: Timestamp,
    /// What tells the server key it was written with from others, in 32 hex digits.
    pub key: String,
    /// How many states of numbers there are.
    pub numbers: u64,
    /// How many verifications whose sends are remembered.
    pub sends: u64,
    /// How many records of anything else: services, credentials, limits, events.
    pub others: u64,
}

/// Any line but the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Number(Box<NumberLine>),
    Sends(Box<SendsLine>),
    Other(Box<OtherLine>),
    End(EndLine),
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    pub(super) records: u64,
    pub(super) sha256: String,
}

impl From<HeaderLine> for Header {
    fn from(line: HeaderLine) -> Self {
        let HeaderLine { is: _, format: _, program, exported_at, key, numbers, sends, others } = line;
        Self { program, exported_at: exported_at.0, key, numbers, sends, others }
    }
}

impl From<&Header> for HeaderLine {
    fn from(header: &Header) -> Self {
        Self {
            is: NAME.to_owned(),
            format: super::FORMAT,
            program: header.program.clone(),
            exported_at: Moment(header.exported_at),
            key: header.key.clone(),
            numbers: header.numbers,
            sends: header.sends,
            others: header.others,
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

/// The line without its sum, as JSON; `None` if the sum is missing or another.
pub(super) fn checked(line: &[u8]) -> Option<Vec<u8>> {
    let rest = line.strip_suffix(AFTER_SUM.as_bytes())?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(SUM_DIGITS)?)?;
    let content = rest.strip_suffix(BEFORE_SUM.as_bytes())?;
    let sum = format!("{:08x}", crc32c::crc32c(content));
    (sum.as_bytes() == digits).then(|| [content, b"}"].concat())
}
