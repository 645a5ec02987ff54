//! The bytes of the journal. A frame is everything that one write and one sync made durable together:
//!
//! ```text
//! magic 4 | checksum 4 | body length 4 | kind 1 | sequence 8 | time 8 | body
//! ```
//! Integers are big-endian. The checksum is the CRC-32C of everything behind it. A segment begins with a header, a frame
//! whose body is the segment's number (8), and which has the sequence of the frame behind it. The bodies of all others
//! are [records](crate::RecordRef), one after the other, or none: then there was an attempt to write, or it says what
//! time it is. Their sequences are consecutive over all segments.

use bytes::{Buf as _, BufMut as _};
use onceward_core::domain::Timestamp;

const MAGIC: [u8; 4] = *b"owj1";

/// Bytes of a frame before its body.
pub(super) const FRAME_HEAD: usize = 29;

/// Bytes of a segment before its first record.
pub(super) const HEADER_BYTES: usize = FRAME_HEAD + 8;

/// Where the bytes that the checksum covers begin.
const CHECKED_FROM: usize = 8;

/// The most bytes one frame may have. Far more than any batch, far below what its fields can
/// say.
pub(super) const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// The highest valid sequence. A higher one means damage. The limit leaves room for increments without overflow.
const LAST_SEQUENCE: u64 = 1 << 62;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Header = 0,
    Records = 1,
}

/// A whole, undamaged frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) body: &'a [u8],
}

/// Appends a frame to `to`; `body` appends its body, which stays within [`MAX_FRAME_BYTES`].
pub(super) fn encode(
    to: &mut Vec<u8>,
    kind: FrameKind,
    sequence: u64,
    time: Timestamp,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = to.len();
    to.put_slice(&MAGIC);
    to.put_u64(0);
    to.put_u8(kind as u8);
    to.put_u64(sequence);
    to.put_u64(time.as_millis());
    body(to);
    let frame = &mut to[start..];
    // A longer one becomes one that no frame can have, which the reader refuses.
    let length = u32::try_from(frame.len() - FRAME_HEAD).unwrap_or(u32::MAX);
    frame[CHECKED_FROM..][..4].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&frame[CHECKED_FROM..]);
    frame[4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
}

/// The frame that begins at the first of `bytes`, if there is a whole and undamaged one.
pub(super) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let checksum = rest.try_get_u32().ok()?;
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let kind = match rest.try_get_u8().ok()? {
        0 => FrameKind::Header,
        1 => FrameKind::Records,
        _ => return None,
    };
    let sequence = rest.try_get_u64().ok()?;
    let time = Timestamp::from_millis(rest.try_get_u64().ok()?);
    let body = rest.get(..length)?;
    let is_whole = crc32c::crc32c(&bytes[CHECKED_FROM..FRAME_HEAD + length]) == checksum;
    (is_whole && sequence <= LAST_SEQUENCE).then_some(Frame { kind, sequence, time, body })
}

/// The header of a segment: its number and the sequence of its first frame, which proves that no frame before it is
/// missing. `None` if it is damaged, or was not written.
pub(super) fn header(segment: &[u8]) -> Option<(u64, u64)> {
    let frame = decode(segment).filter(|frame| frame.kind == FrameKind::Header)?;
    Some((u64::from_be_bytes(frame.body.try_into().ok()?), frame.sequence))
}

/// The offset and the sequence of the first whole frame at or after `from` with a sequence of at least `sequence`. It
/// distinguishes damage from a torn end, which no whole frame follows.
pub(super) fn find(bytes: &[u8], from: usize, sequence: u64) -> Option<(usize, u64)> {
    // The length of a broken frame cannot be trusted: the next one may begin at any byte.
    (from..bytes.len()).find_map(|at| {
        let frame = decode(&bytes[at..]).filter(|frame| frame.sequence >= sequence)?;
        Some((at, frame.sequence))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_behind_garbage_is_found_with_its_offset() {
        let mut bytes = b"owj1owowj1 not a frame".to_vec();
        let offset = bytes.len();
        encode(&mut bytes, FrameKind::Records, 7, Timestamp::EPOCH, |body| body.put_u8(1));
        assert_eq!(find(&bytes, 0, 7), Some((offset, 7)));
        assert_eq!(find(&bytes, 0, 8), None, "an older frame is no sign of a newer one");
        assert_eq!(find(&bytes, offset + 1, 0), None);
        assert_eq!(find(&bytes, bytes.len() + 1, 0), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(sequence in 0..=LAST_SEQUENCE, time: u64, body: Vec<u8>) {
            let time = Timestamp::from_millis(time);
            let mut bytes = Vec::new();
            encode(&mut bytes, FrameKind::Records, sequence, time, |to| to.put_slice(&body));
            prop_assert_eq!(bytes.len(), FRAME_HEAD + body.len());
            bytes.extend_from_slice(b"and whatever follows");
            let frame = decode(&bytes).unwrap();
            prop_assert_eq!((frame.kind, frame.sequence, frame.time), (FrameKind::Records, sequence, time));
            prop_assert_eq!(frame.body, body);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, from: usize) {
            let _ = find(&bytes, from, 0);
            bytes.splice(0..0, MAGIC);
            let _ = decode(&bytes);
        }
    }
}
