//! The envelope every record is kept in: a version, the body, a checksum.
//!
//! The version says how the body is encoded, so that records written by an older program can be
//! upgraded when they are read. The checksum finds a record that was damaged, or cut, anywhere
//! between the writer and the reader, whichever store carried it.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes the envelope adds to a body.
const OVERHEAD: usize = 1 + size_of::<u32>();

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than an empty record.
    #[error("a record of {0} bytes is too short to be one")]
    TooShort(usize),
    /// The checksum does not belong to these bytes.
    #[error("the record's checksum is wrong: it was damaged or cut")]
    Checksum,
}

/// Wraps `body`, encoded as `version` says: the version byte, the body, and the CRC-32C
/// (Castagnoli, RFC 3720) of both in little-endian order.
pub fn seal(version: u8, body: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(body.len() + OVERHEAD);
    sealed.put_u8(version);
    sealed.put_slice(body);
    let checksum = crc32c::crc32c(&sealed);
    sealed.put_u32_le(checksum);
    sealed.freeze()
}

/// The version and the body of what [`seal`] wrapped.
///
/// # Errors
/// [`RecordError`] when the bytes are not what was sealed. Never panics, whatever they are.
pub fn open(sealed: &[u8]) -> Result<(u8, &[u8]), RecordError> {
    let too_short = RecordError::TooShort(sealed.len());
    let (checked, checksum) = sealed.split_last_chunk::<4>().ok_or(too_short)?;
    let (version, body) = checked.split_first().ok_or(too_short)?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*checksum) {
        return Err(RecordError::Checksum);
    }
    Ok((*version, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn when_a_record_is_shorter_than_an_empty_one_it_is_refused() {
        assert_eq!(open(&[]), Err(RecordError::TooShort(0)));
        assert_eq!(open(&[1, 0, 0, 0]), Err(RecordError::TooShort(4)));
        assert_eq!(open(&seal(1, &[])), Ok((1, &[][..])));
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(version: u8, body: Vec<u8>) {
            let sealed = seal(version, &body);
            prop_assert_eq!(open(&sealed), Ok((version, &body[..])));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = open(&bytes);
        }

        #[test]
        fn when_any_bit_flips_the_record_is_refused(version: u8, body: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut sealed = seal(version, &body).to_vec();
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert_eq!(open(&sealed), Err(RecordError::Checksum));
        }

        #[test]
        fn when_a_record_is_cut_it_is_refused(version: u8, body: Vec<u8>, at: prop::sample::Index) {
            let sealed = seal(version, &body);
            prop_assert!(open(&sealed[..at.index(sealed.len())]).is_err());
        }
    }
}
