//! The bytes of the journal. A frame is everything that one write and one sync made durable together:
//!
//! ```text
//! magic 4 | checksum 4 | body length 4 | sequence 8 | time 8 | body
//! ```
//! Integers are big-endian. The checksum is the CRC-32C of everything behind it. A body is [records](Write), one
//! after the other, or empty: then there was an attempt to write, or it says what time it is. Sequences are consecutive
//! over all segments: they prove that no frame is missing.

use bytes::{Buf as _, BufMut as _};
use onceward_core::domain::Timestamp;

use crate::Write;

const MAGIC: [u8; 4] = *b"owj1";

/// Bytes of a frame before its body.
pub(super) const FRAME_HEAD: usize = 28;

/// Where the bytes that the checksum covers begin.
const CHECKED_FROM: usize = 8;

/// The most bytes one frame may have. Far more than any batch, far below what its fields can
/// say.
pub(super) const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// The highest valid sequence. A higher one means damage. The limit leaves room for increments without overflow.
const LAST_SEQUENCE: u64 = 1 << 62;

/// A whole, undamaged frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) body: &'a [u8],
}

/// A frame with these records, which stay within [`MAX_FRAME_BYTES`].
pub(super) fn encode(sequence: u64, time: Timestamp, writes: &[Write]) -> Vec<u8> {
    let body: usize = writes.iter().map(Write::encoded_bytes).sum();
    let mut frame = Vec::with_capacity(FRAME_HEAD + body);
    frame.put_slice(&MAGIC);
    frame.put_u32(0);
    // A longer one becomes one that no frame can have, which the reader refuses.
    frame.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
    frame.put_u64(sequence);
    frame.put_u64(time.as_millis());
    for write in writes {
        write.encode(&mut frame);
    }
    let checksum = crc32c::crc32c(&frame[CHECKED_FROM..]);
    frame[4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The frame that begins at the first of `bytes`, if there is a whole and undamaged one.
pub(super) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let checksum = rest.try_get_u32().ok()?;
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let sequence = rest.try_get_u64().ok()?;
    let time = Timestamp::from_millis(rest.try_get_u64().ok()?);
    let body = rest.get(..length)?;
    let is_whole = crc32c::crc32c(&bytes[CHECKED_FROM..FRAME_HEAD + length]) == checksum;
    (is_whole && sequence <= LAST_SEQUENCE).then_some(Frame { sequence, time, body })
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
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Key;

    fn frame(sequence: u64, time: Timestamp, put: &[u8]) -> Vec<u8> {
        let key = Key { slot: 7, kind: 1, id: [7; 12] };
        let put = Some(Bytes::copy_from_slice(put));
        encode(sequence, time, &[Write { key, put, expires: Timestamp::EPOCH }])
    }

    #[test]
    fn a_frame_behind_garbage_is_found_with_its_offset() {
        let mut bytes = b"owj1owowj1 not a frame".to_vec();
        let offset = bytes.len();
        bytes.extend(frame(7, Timestamp::EPOCH, b"text"));
        assert_eq!(find(&bytes, 0, 7), Some((offset, 7)));
        assert_eq!(find(&bytes, 0, 8), None, "an older frame is no sign of a newer one");
        assert_eq!(find(&bytes, offset + 1, 0), None);
        assert_eq!(find(&bytes, bytes.len() + 1, 0), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(sequence in 0..=LAST_SEQUENCE, time: u64, put: Vec<u8>) {
            let time = Timestamp::from_millis(time);
            let mut bytes = frame(sequence, time, &put);
            let body = bytes[FRAME_HEAD..].to_vec();
            bytes.extend_from_slice(b"and whatever follows");
            let frame = decode(&bytes).unwrap();
            prop_assert_eq!((frame.sequence, frame.time), (sequence, time));
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
