//! Keys and values as etcd holds them. A key shows the slot and the kind of a record, and neither shows a number.
//!
//! A value is encrypted with AES-256-GCM, under a key of its own that is derived from a random salt; therefore no nonce
//! repeats. The value's key in etcd is authenticated with it: a value that was moved to another key is refused.

use bytes::{Buf as _, BufMut as _};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{Key, Slot};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Begins every key of onceward in etcd.
const PREFIX: &str = "onceward/1/";
const ID_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Layout of values.
const VERSION: u8 = 1;
/// Bytes in front of the encrypted part.
const HEAD: usize = 1 + SALT_BYTES;

/// A key in etcd that is no record, such as that of the owner.
pub fn system_key(name: &str) -> Vec<u8> {
    [PREFIX, name].concat().into_bytes()
}

/// The prefix of the records of a slot; for 256 the end of all records.
fn records_of(slot: u16) -> Vec<u8> {
    let [high, low] = slot.to_be_bytes();
    let mut key = system_key("record/");
    // Two bytes: the slot after 255 is the end of the range.
    key.extend([high, low]);
    key
}

/// The range of the records of the slots from `first` to `last`.
pub fn record_range(first: Slot, last: Slot) -> (Vec<u8>, Vec<u8>) {
    (records_of(u16::from(first)), records_of(u16::from(last) + 1))
}

/// Derives everything from the server key, which the nodes share.
pub struct Sealing {
    ids: hmac::Key,
    values: hmac::Key,
}

impl Sealing {
    pub fn new(key: &ServerKey) -> Self {
        let derive = |purpose: &[u8]| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        };
        Self { ids: derive(b"onceward/cluster/id/1"), values: derive(b"onceward/cluster/value/1") }
    }

    /// The record's key in etcd.
    pub fn key(&self, Key { slot, kind, id }: &Key) -> Vec<u8> {
        let mut subject = [0; 14];
        subject[0] = *slot;
        subject[1] = *kind;
        subject[2..].copy_from_slice(id);
        let digest = hmac::sign(&self.ids, &subject);
        let mut key = records_of(u16::from(*slot));
        key.push(*kind);
        key.extend_from_slice(&digest.as_ref()[..ID_BYTES]);
        key
    }

    /// The value under `key` of a record with this id.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(
        &self,
        key: &[u8],
        id: &[u8; 12],
        expires: Timestamp,
        record: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        let mut value = Vec::with_capacity(HEAD + 20 + record.len() + AES_256_GCM.tag_len());
        value.put_u8(VERSION);
        value.put_slice(&salt);
        value.put_u64(expires.as_millis());
        value.put_slice(id);
        value.put_slice(record);
        let contents = &mut value[HEAD..];
        let tag = self.value_key(&salt)?.seal_in_place_separate_tag(nonce(), Aad::from(key), contents)?;
        value.put_slice(tag.as_ref());
        Ok(value)
    }

    /// The record under a key of etcd, which begins with its slot and kind. `None` if the value was not written with this
    /// server key, or was changed.
    pub fn open(&self, key: &[u8], value: &[u8]) -> Option<(Key, Timestamp, Vec<u8>)> {
        let at = PREFIX.len() + "record/".len() + 1;
        let (slot, kind) = (*key.get(at)?, *key.get(at + 1)?);
        let (head, contents) = value.split_at_checked(HEAD).filter(|(head, _)| head[0] == VERSION)?;
        let mut contents = contents.to_vec();
        let value_key = self.value_key(&head[1..]).ok()?;
        let mut contents = &*value_key.open_in_place(nonce(), Aad::from(key), &mut contents).ok()?;
        let (expires, mut id) = (Timestamp::from_millis(contents.try_get_u64().ok()?), [0; 12]);
        contents.try_copy_to_slice(&mut id).ok()?;
        Some((Key { slot, kind, id }, expires, contents.to_vec()))
    }

    fn value_key(&self, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let derived = hmac::sign(&self.values, salt);
        UnboundKey::new(&AES_256_GCM, derived.as_ref()).map(LessSafeKey::new)
    }
}

/// A key encrypts one value.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { slot: 255, kind: 3, id: *b"491711234567" };
    const EXPIRES: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn sealing(byte: u8) -> Sealing {
        Sealing::new(&ServerKey::from_bytes([byte; 32]))
    }

    #[test]
    fn neither_key_nor_value_shows_the_number_and_equal_records_differ() {
        let sealing = sealing(1);
        let key = sealing.key(&KEY);
        let [a, b] = [(), ()].map(|()| sealing.seal(&key, &KEY.id, EXPIRES, &KEY.id).unwrap());
        assert_ne!(a, b);
        for shown in [&key, &a] {
            assert!(!shown.windows(12).any(|window| window == KEY.id));
        }
    }

    #[test]
    fn another_server_key_a_moved_and_a_changed_value_are_refused() {
        let ours = sealing(1);
        let key = ours.key(&KEY);
        let value = ours.seal(&key, &KEY.id, EXPIRES, b"record").unwrap();
        let other_key = ours.key(&Key { kind: 4, ..KEY });
        assert_eq!(sealing(2).open(&key, &value), None);
        assert_eq!(ours.open(&other_key, &value), None);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(ours.open(&key, &changed), None, "byte {at}");
            assert_eq!(ours.open(&key, &value[..at]), None, "{at} bytes");
        }
    }
}
