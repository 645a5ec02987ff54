//! The bytes of the journal. A segment begins with a header:
//!
//! ```text
//! "owjournl" 8 | format 4 | number 8 | first sequence 8 | checksum of these 4 | frames
//! ```
//! A frame is everything that one write and one sync made durable together:
//! ```text
//! magic 4 | checksum 4 | body length 4 | kind 1 | records 4 | sequence 8 | time 8 | body
//! ```
//! Integers are little-endian. The checksum is the CRC-32C of everything behind it. Sequences are
//! consecutive over all segments. A frame may have no records: it says that there was an attempt to write, or what time
//! it is. The body is the records, one after the other:
//! ```text
//! put (1) or remove (0) 1 | slot 1 | kind 1 | id 12 | expires 8 | length 4 | bytes
//! ```

use bytes::Buf as _;
use onceward_core::domain::Timestamp;

use crate::{Key, Write};

/// Bytes of a segment before its first frame.
pub(super) const HEADER_BYTES: usize = 32;

/// The highest valid number of a segment or a frame. A higher number means damage. The limit leaves room for increments
/// without overflow.
pub(super) const LAST_NUMBER: u64 = 1 << 62;

const SEGMENT_MAGIC: [u8; 8] = *b"owjournl";
const SEGMENT_FORMAT: u32 = 1;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Its place among the segments; also its name.
    pub(super) number: u64,
    /// The sequence of its first frame, which proves that no frame before it is missing.
    pub(super) first_sequence: u64,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first_sequence.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if there is an undamaged one of this format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = u64::from_le_bytes(bytes.get(12..20)?.try_into().ok()?);
        let first_sequence = u64::from_le_bytes(bytes.get(20..28)?.try_into().ok()?);
        let header = Self { number, first_sequence };
        let counts_on = number.max(first_sequence) <= LAST_NUMBER;
        (counts_on && header.encode() == bytes[..HEADER_BYTES.min(bytes.len())]).then_some(header)
    }
}

const MAGIC: [u8; 4] = *b"owF2";

/// Bytes of a frame before its body.
pub(super) const FRAME_OVERHEAD: usize = 33;

/// Where the bytes that the checksum covers begin.
const CHECKED_FROM: usize = 8;

/// Bytes of a record before its content.
pub(super) const RECORD_OVERHEAD: usize = 27;

/// The most bytes one frame may have. Far more than any batch, far below what its fields can
/// say.
pub(super) const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// It carries records.
    Batch = 1,
    /// The store was closed in order here; nothing follows in this segment.
    Closed = 2,
}

/// The size of `writes` in a frame's body, in bytes.
pub(super) fn encoded_bytes(writes: &[Write]) -> usize {
    writes.iter().map(|write| RECORD_OVERHEAD + write.put.as_ref().map_or(0, bytes::Bytes::len)).sum()
}

/// Appends a frame with `writes` to `buffer`. The caller has made sure that it stays within
/// [`MAX_FRAME_BYTES`].
pub(super) fn encode<'a>(
    buffer: &mut Vec<u8>,
    kind: FrameKind,
    sequence: u64,
    time: Timestamp,
    writes: impl Iterator<Item = &'a Write>,
) {
    let start = buffer.len();
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&[0; 8]);
    buffer.push(kind as u8);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(&time.as_millis().to_le_bytes());
    let mut records = 0_u32;
    for write in writes {
        encode_record(buffer, write);
        records += 1;
    }
    let body = length_field(buffer.len() - start - FRAME_OVERHEAD);
    let frame = &mut buffer[start..];
    frame[8..12].copy_from_slice(&body);
    frame[13..17].copy_from_slice(&records.to_le_bytes());
    let checksum = crc32c::crc32c(&frame[CHECKED_FROM..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn encode_record(buffer: &mut Vec<u8>, write: &Write) {
    let content = write.put.as_deref().unwrap_or_default();
    let mut head = [0; RECORD_OVERHEAD];
    head[0] = u8::from(write.put.is_some());
    head[1] = write.key.slot;
    head[2] = write.key.kind;
    head[3..15].copy_from_slice(&write.key.id);
    head[15..23].copy_from_slice(&write.expires.as_millis().to_le_bytes());
    head[23..27].copy_from_slice(&length_field(content.len()));
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(content);
}

/// A length within [`MAX_FRAME_BYTES`] as four bytes. A longer one would become one that no frame
/// can have, which the reader refuses.
fn length_field(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// A whole, undamaged frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    /// Its size in the file, in bytes.
    pub(super) bytes: usize,
    records: u32,
    body: &'a [u8],
}

/// One record of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordRef<'a> {
    pub(super) key: Key,
    pub(super) expires: Timestamp,
    pub(super) put: Option<&'a [u8]>,
}

/// The frame that begins at the first of `bytes`, if there is a whole and undamaged one.
pub(super) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let checksum = rest.try_get_u32_le().ok()?;
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let kind = match rest.try_get_u8().ok()? {
        1 => FrameKind::Batch,
        2 => FrameKind::Closed,
        _ => return None,
    };
    let records = rest.try_get_u32_le().ok()?;
    let sequence = Some(rest.try_get_u64_le().ok()?).filter(|sequence| *sequence <= LAST_NUMBER)?;
    let time = Timestamp::from_millis(rest.try_get_u64_le().ok()?);
    let body = rest.get(..length)?;
    let total = FRAME_OVERHEAD + length;
    if crc32c::crc32c(&bytes[CHECKED_FROM..total]) != checksum {
        return None;
    }
    Some(Frame { kind, sequence, time, bytes: total, records, body })
}

/// The first whole frame at or after `from` with a sequence of at least `sequence`, and its offset. It distinguishes
/// damage from a torn end, which no whole frame follows.
pub(super) fn find(bytes: &[u8], from: usize, sequence: u64) -> Option<(usize, Frame<'_>)> {
    let mut at = from;
    // The length of a broken frame cannot be trusted: the next one may begin at any byte.
    while let Some(skip) = bytes.get(at..)?.iter().position(|&byte| byte == MAGIC[0]) {
        at += skip;
        if let Some(frame) = decode(&bytes[at..]).filter(|frame| frame.sequence >= sequence) {
            return Some((at, frame));
        }
        at += 1;
    }
    None
}

impl<'a> Frame<'a> {
    /// Its records in the order they were written, or `None` if the body is not what a frame of
    /// this format can have, although its checksum is right.
    pub(super) fn records(&self) -> Option<Vec<RecordRef<'a>>> {
        // The count reserves no memory: a frame may claim 2^32 - 1 records in a body of a few bytes.
        let (mut rest, mut records) = (self.body, Vec::new());
        for _ in 0..self.records {
            records.push(record(&mut rest)?);
        }
        rest.is_empty().then_some(records)
    }
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<RecordRef<'a>> {
    let ([put, slot, kind], behind) = rest.split_first_chunk()?;
    let (id, mut behind) = behind.split_first_chunk()?;
    let expires = Timestamp::from_millis(behind.try_get_u64_le().ok()?);
    let length = usize::try_from(behind.try_get_u32_le().ok()?).ok()?;
    let content;
    (content, *rest) = behind.split_at_checked(length)?;
    let put = match put {
        1 => Some(content),
        0 if content.is_empty() => None,
        _ => return None,
    };
    Some(RecordRef { key: Key { slot: *slot, kind: *kind, id: *id }, expires, put })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_behind_garbage_is_found_with_its_offset() {
        let mut bytes = b"owF2owowF2 not a frame".to_vec();
        let offset = bytes.len();
        encode(&mut bytes, FrameKind::Batch, 7, Timestamp::EPOCH, [write(1, Some(vec![1, 2]))].iter());
        let (found, frame) = find(&bytes, 0, 7).unwrap();
        assert_eq!((found, frame.sequence), (offset, 7));
        assert!(find(&bytes, 0, 8).is_none(), "an older frame is no sign of a newer one");
        assert!(find(&bytes, offset + 1, 0).is_none());
        assert!(find(&bytes, bytes.len() + 1, 0).is_none());
    }

    #[test]
    fn a_body_without_records_has_none_despite_a_right_checksum() {
        let mut bytes = Vec::new();
        encode(&mut bytes, FrameKind::Batch, 1, Timestamp::EPOCH, [write(1, None)].iter());
        bytes[FRAME_OVERHEAD] = 9;
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]).to_le_bytes();
        bytes[4..8].copy_from_slice(&checksum);
        assert!(decode(&bytes).unwrap().records().is_none());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(sequence in 0..=LAST_NUMBER, time: u64, puts: Vec<(u64, u64, Option<Vec<u8>>)>) {
            let writes: Vec<Write> = puts.iter().map(|(subject, expires, put)| Write {
                expires: Timestamp::from_millis(*expires), ..write(*subject, put.clone())
            }).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, FrameKind::Batch, sequence, Timestamp::from_millis(time), writes.iter());
            prop_assert_eq!(bytes.len(), FRAME_OVERHEAD + encoded_bytes(&writes));
            bytes.extend_from_slice(b"and whatever follows");
            let frame = decode(&bytes).unwrap();
            prop_assert_eq!((frame.sequence, frame.time.as_millis(), frame.kind), (sequence, time, FrameKind::Batch));
            let records = frame.records().unwrap();
            prop_assert_eq!(records.len(), writes.len());
            for (record, write) in records.iter().zip(&writes) {
                prop_assert_eq!((record.key, record.expires), (write.key, write.expires));
                prop_assert_eq!(record.put, write.put.as_deref());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, from: usize) {
            let _ = find(&bytes, from, 0);
            bytes.splice(0..0, MAGIC);
            let _ = decode(&bytes);
        }

        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>, records: u32) {
            let frame = Frame {
                kind: FrameKind::Batch, sequence: 1, time: Timestamp::EPOCH, bytes: 0, records, body: &body,
            };
            let _ = frame.records();
        }
    }

    fn write(subject: u64, put: Option<Vec<u8>>) -> Write {
        let mut id = [3; 12];
        id[..8].copy_from_slice(&subject.to_be_bytes());
        let key = Key { slot: id[7], kind: 1, id };
        Write { key, put: put.map(Bytes::from), expires: Timestamp::EPOCH }
    }
}
