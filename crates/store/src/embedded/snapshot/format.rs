//! What is in the file of a layer. Integers are little-endian, checksums CRC-32C.
//!
//! ```text
//! "owlayer2" 8 | first segment 8 | last segment 8 | last sequence 8 | time 8 | checksum of these 4
//! then blocks:  "owB1" 4 | checksum 4 | body length 4 | entries 4 | body
//! then the end: "owE1" 4 | checksum 4 | blocks 8 | entries 8
//! ```
//! The checksums of blocks and of the end cover what is behind them, and begin with that of the header: a block
//! of another layer is none of this one. The body of a block is its entries, in the order of their keys:
//! ```text
//! kind 1 | record (1) or removed (0) 1 | service 4 | subject 8 | sequence 8 | gc after 8 | length 4 | record
//! ```

use bytes::Bytes;

use super::Covered;
use crate::copy::LONGEST_RECORD;
use crate::embedded::segment::LAST_NUMBER;
use crate::{Key, Kind, Subject};
use onceward_core::domain::{ServiceId, Timestamp};

const HEADER_MAGIC: [u8; 8] = *b"owlayer2";
const BLOCK_MAGIC: [u8; 4] = *b"owB1";
const END_MAGIC: [u8; 4] = *b"owE1";

/// Bytes before the first block.
pub(super) const HEADER_BYTES: usize = 44;

/// Of these, bytes before the checksum.
const CHECKED_HEADER_BYTES: usize = 40;

/// Bytes of a block before its body.
pub(super) const BLOCK_HEAD_BYTES: usize = 16;

/// Bytes of the end.
pub(super) const END_BYTES: usize = 24;

/// Bytes of a layer without entries.
pub(in crate::embedded) const EMPTY_LAYER_BYTES: u64 = (HEADER_BYTES + END_BYTES) as u64;

/// Bytes of an entry before its record.
const ENTRY_HEAD_BYTES: usize = 34;

/// A block is closed when it has so many bytes. Fewer in unit tests: there few records are to make many blocks.
pub(super) const BLOCK_BYTES: usize = if cfg!(test) { 2 * 1024 } else { 64 * 1024 };

/// The most bytes that the body of a block can have: the entry that closes it may be the longest.
const MOST_BODY_BYTES: usize = 64 * 1024 + ENTRY_HEAD_BYTES + LONGEST_RECORD;

/// Where the bytes that a checksum covers begin, in a block and in the end.
const CHECKED_FROM: usize = 8;

/// What a layer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The first journal segment whose changes it has; 0 for the layer that has everything before, too.
    pub(super) first: u64,
    /// The last one, and the last sequence in it.
    pub(super) covered: Covered,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.covered.segment.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.covered.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.covered.time.as_millis().to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..CHECKED_HEADER_BYTES]);
        bytes[CHECKED_HEADER_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that `bytes` are, if they are an undamaged one.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut rest = Fields(&bytes[8..]);
        let (first, segment, sequence) = (rest.u64()?, rest.u64()?, rest.u64()?);
        let time = Timestamp::from_millis(rest.u64()?);
        let header = Self { first, covered: Covered { segment, sequence, time } };
        // The journal goes on behind both.
        let counts_on = first <= segment && segment.max(sequence) <= LAST_NUMBER;
        (counts_on && header.encode() == *bytes).then_some(header)
    }

    /// What the checksums of the blocks and of the end begin with: the header's own. (Over the whole header it would be
    /// the same for all: a CRC of anything and its CRC is a constant.)
    pub(super) fn seed(self) -> u32 {
        crc32c::crc32c(&self.encode()[..CHECKED_HEADER_BYTES])
    }
}

/// What a layer has under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Entry {
    pub(in crate::embedded) key: Key,
    /// The frame it was written in, which is its revision.
    pub(in crate::embedded) sequence: u64,
    /// From when on it no longer matters.
    pub(in crate::embedded) gc_after: Timestamp,
    /// The record. `None`: whatever older layers have under the key is no longer there.
    pub(in crate::embedded) put: Option<Bytes>,
}

impl Entry {
    /// How many bytes it takes.
    pub(in crate::embedded) fn bytes(&self) -> u64 {
        entry_bytes(self.put.as_ref())
    }

    /// The record, if there is one and it still matters at `now`.
    pub(in crate::embedded) fn alive_at(&self, now: Timestamp) -> Option<&Bytes> {
        self.put.as_ref().filter(|_| now < self.gc_after)
    }
}

/// How many bytes an entry with this record takes.
pub(super) fn entry_bytes(record: Option<&Bytes>) -> u64 {
    // No record is longer than `LONGEST_RECORD`.
    (ENTRY_HEAD_BYTES + record.map_or(0, Bytes::len)) as u64
}

/// Entries that are being put together to a block.
#[derive(Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    entries: u32,
}

impl BlockBuilder {
    /// Adds `entry`, whose record is no longer than [`LONGEST_RECORD`].
    pub(super) fn add(&mut self, entry: &Entry) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
        }
        let record = entry.put.as_deref().unwrap_or_default();
        let mut head = [0; ENTRY_HEAD_BYTES];
        head[0] = entry.key.kind as u8;
        head[1] = u8::from(entry.put.is_some());
        head[2..6].copy_from_slice(&entry.key.service.get().to_le_bytes());
        head[6..14].copy_from_slice(&entry.key.subject.0.to_le_bytes());
        head[14..22].copy_from_slice(&entry.sequence.to_le_bytes());
        head[22..30].copy_from_slice(&entry.gc_after.as_millis().to_le_bytes());
        head[30..].copy_from_slice(&length_field(record.len()));
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(record);
        self.entries += 1;
    }

    /// How many bytes the block has so far; none without entries.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The block, of a layer with this seed.
    pub(super) fn finish(&mut self, seed: u32) -> &[u8] {
        let body = length_field(self.bytes.len() - BLOCK_HEAD_BYTES);
        self.bytes[..4].copy_from_slice(&BLOCK_MAGIC);
        self.bytes[8..12].copy_from_slice(&body);
        self.bytes[12..16].copy_from_slice(&self.entries.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &self.bytes[CHECKED_FROM..]);
        self.bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }

    /// Begins the next one.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries = 0;
    }
}

/// A length that is never more than four bytes can say. A longer one would become one that no block can have,
/// which the reader refuses.
fn length_field(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// How long the body of the block is that begins with `head`; `None` if no block does. What it says is believed only up
/// to what a block can have: whoever reads it takes so much memory before its checksum is known to be right.
pub(super) fn body_bytes(head: &[u8; BLOCK_HEAD_BYTES]) -> Option<usize> {
    let (magic, rest) = head.split_first_chunk::<4>()?;
    let length = Fields(&rest[4..]).u32()?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MOST_BODY_BYTES)?;
    (*magic == BLOCK_MAGIC).then_some(length)
}

/// The entries of a whole block of a layer with this seed; `None` if it is none.
pub(super) fn entries(block: &Bytes, seed: u32) -> Option<Vec<Entry>> {
    let head = block.first_chunk::<BLOCK_HEAD_BYTES>()?;
    let mut fields = Fields(&head[4..]);
    let (checksum, _, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
    if body_bytes(head)? != block.len() - BLOCK_HEAD_BYTES
        || crc32c::crc32c_append(seed, &block[CHECKED_FROM..]) != checksum
    {
        return None;
    }
    let mut at = BLOCK_HEAD_BYTES;
    let entry = |_| entry(block, &mut at);
    let entries = (0..count).map(entry).collect::<Option<Vec<Entry>>>()?;
    (at == block.len()).then_some(entries)
}

fn entry(block: &Bytes, at: &mut usize) -> Option<Entry> {
    let mut fields = Fields(block.get(*at..)?);
    let [kind, put] = fields.array()?;
    let (service, subject) = (ServiceId::new(fields.u32()?), Subject(fields.u64()?));
    let (sequence, gc_after) = (fields.u64()?, Timestamp::from_millis(fields.u64()?));
    let length = usize::try_from(fields.u32()?).ok()?;
    let from = *at + ENTRY_HEAD_BYTES;
    *at = from.checked_add(length).filter(|end| *end <= block.len())?;
    let put = match put {
        1 => Some(block.slice(from..*at)),
        0 if length == 0 => None,
        _ => return None,
    };
    Some(Entry { key: Key { kind: Kind::from_u8(kind)?, service, subject }, sequence, gc_after, put })
}

/// The end of a layer with so many blocks and entries.
pub(super) fn end(blocks: u64, entries: u64, seed: u32) -> [u8; END_BYTES] {
    let mut bytes = [0; END_BYTES];
    bytes[..4].copy_from_slice(&END_MAGIC);
    bytes[8..16].copy_from_slice(&blocks.to_le_bytes());
    bytes[16..].copy_from_slice(&entries.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &bytes[CHECKED_FROM..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Takes fields off the front of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_another_layer_is_none_of_this_one() {
        let header = |segment| Header { first: 0, covered: Covered { segment, ..Covered::NOTHING } };
        let key = Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(1) };
        let entry =
            Entry { key, sequence: 3, gc_after: Timestamp::EPOCH, put: Some(Bytes::from_static(b"x")) };
        let mut builder = BlockBuilder::default();
        builder.add(&entry);
        let block = Bytes::copy_from_slice(builder.finish(header(7).seed()));
        assert_eq!(entries(&block, header(7).seed()), Some(vec![entry]));
        assert_eq!(entries(&block, header(8).seed()), None);
        assert_ne!(end(1, 1, header(7).seed()), end(1, 1, header(8).seed()));
    }
}
