//! The format of a layer, written by another hand, from the documentation alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use onceward::domain::{ServiceId, Timestamp};
use onceward::store::reading::LayerEntry;
use onceward::store::{Key, Kind, Revision, Subject};

/// Bytes before the first block.
pub const HEADER: usize = 36;

/// Which segments a layer has, and the last sequence in them.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub first: u64,
    pub last: u64,
    pub sequence: u64,
}

impl Range {
    /// What the header says, whether or not it is undamaged.
    pub fn said_by(header: &[u8; HEADER]) -> Self {
        let field = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("eight bytes"));
        Self { first: field(8), last: field(16), sequence: field(24) }
    }

    pub fn name(self) -> String {
        format!("{:010}-{:010}.layer", self.first, self.last)
    }

    pub fn header(self) -> Vec<u8> {
        let mut bytes = b"owlayer1".to_vec();
        for field in [self.first, self.last, self.sequence] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// A block that claims to have so many entries.
    pub fn block(self, entries: u32, body: &[u8]) -> Vec<u8> {
        let mut behind = u32::try_from(body.len()).expect("a small body").to_le_bytes().to_vec();
        behind.extend(entries.to_le_bytes());
        behind.extend(body);
        self.checked(b"owB1", &behind)
    }

    pub fn end(self, blocks: u64, entries: u64) -> Vec<u8> {
        self.checked(b"owE1", &[blocks.to_le_bytes(), entries.to_le_bytes()].concat())
    }

    fn checked(self, begin: &[u8], behind: &[u8]) -> Vec<u8> {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&self.header()[..HEADER - 4]), behind);
        [begin, &checksum.to_le_bytes(), behind].concat()
    }

    /// A whole layer with these blocks.
    pub fn layer(self, blocks: &[Vec<LayerEntry>]) -> Vec<u8> {
        let mut bytes = self.header();
        for entries in blocks {
            let body: Vec<u8> = entries.iter().flat_map(encoded).collect();
            bytes.extend(self.block(u32::try_from(entries.len()).expect("few"), &body));
        }
        let entries: usize = blocks.iter().map(Vec::len).sum();
        bytes.extend(self.end(blocks.len() as u64, entries as u64));
        bytes
    }
}

pub fn encoded(entry: &LayerEntry) -> Vec<u8> {
    let record = entry.put.as_deref().unwrap_or_default();
    let mut bytes = vec![entry.key.kind as u8, u8::from(entry.put.is_some())];
    bytes.extend(entry.key.service.get().to_le_bytes());
    bytes.extend(entry.key.subject.0.to_le_bytes());
    bytes.extend(entry.revision.0.to_le_bytes());
    bytes.extend(entry.gc_after.as_millis().to_le_bytes());
    bytes.extend(u32::try_from(record.len()).expect("a small record").to_le_bytes());
    bytes.extend(record);
    bytes
}

/// One to three layers with some blocks each: each byte is one entry, a zero ends a block, 255 a layer.
pub fn described(description: &[u8]) -> Vec<(Range, Vec<Vec<LayerEntry>>)> {
    let mut layers: Vec<(Range, Vec<Vec<LayerEntry>>)> = Vec::new();
    let parts = description[..description.len().min(60)].splitn(3, |byte| *byte == 255);
    for part in parts {
        let first = layers.last().map_or(0, |(range, _)| range.last + 1);
        let last = first + part.len() as u64 % 4;
        let mut entries = BTreeMap::new();
        let mut blocks = 1;
        for byte in part {
            match byte {
                0 => blocks += 1,
                byte => drop(entries.insert(key(*byte), entry(*byte, last))),
            }
        }
        let entries: Vec<LayerEntry> = entries.into_values().collect();
        let in_each = entries.len().div_ceil(blocks).max(1);
        let blocks = entries.chunks(in_each).map(<[_]>::to_vec).collect();
        layers.push((Range { first, last, sequence: last }, blocks));
    }
    layers
}

fn key(byte: u8) -> Key {
    let kind = if byte & 1 == 0 { Kind::Number } else { Kind::Track };
    Key { kind, service: ServiceId::DEFAULT, subject: Subject(u64::from(byte >> 1 & 15)) }
}

fn entry(byte: u8, sequence: u64) -> LayerEntry {
    // A record may look like the beginning of a block.
    let put = (byte & 32 == 0).then(|| Bytes::from(b"owB1".repeat(usize::from(byte >> 6))));
    LayerEntry {
        key: key(byte),
        revision: Revision(sequence),
        gc_after: Timestamp::from_millis(u64::MAX),
        put,
    }
}
