//! Keys and values as etcd holds them. A key shows the slot and the kind of a record, and neither shows a number.
//!
//! A value is encrypted with AES-256-GCM. Each term has a random salt and a key derived from it, and numbers its
//! values; therefore no nonce repeats. The value's key in etcd is authenticated with it: a value that was
//! moved to another key is refused.

use bytes::{Buf as _, BufMut as _, Bytes};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{Key, Slot};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Begins every key of onceward in etcd.
const PREFIX: &str = "onceward/1/";
const ID_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const COUNTER_BYTES: usize = 8;
/// Layout of values.
const VERSION: u8 = 1;
/// Bytes in front of the encrypted part.
const HEAD: usize = 1 + SALT_BYTES + COUNTER_BYTES;

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

    /// Encrypts the values of one term.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn sealer(&self) -> Result<Sealer, ring::error::Unspecified> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        Ok(Sealer { key: self.value_key(&salt)?, salt, sealed: 0 })
    }

    fn value_key(&self, salt: &[u8]) -> Result<LessSafeKey, ring::error::Unspecified> {
        let derived = hmac::sign(&self.values, salt);
        UnboundKey::new(&AES_256_GCM, derived.as_ref()).map(LessSafeKey::new)
    }

    /// Decrypts values, with the key of the last value at hand.
    pub const fn opener(&self) -> Opener<'_> {
        Opener { sealing: self, last: None }
    }
}

/// Encrypts the values of one term.
pub struct Sealer {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
    /// Values sealed so far.
    sealed: u64,
}

impl Sealer {
    /// The value under `key` of a record with this id.
    ///
    /// # Errors
    /// If the record is too long for the cipher, 64 GiB.
    pub fn seal(
        &mut self,
        key: &[u8],
        id: &[u8; 12],
        expires: Timestamp,
        record: &[u8],
    ) -> Result<Vec<u8>, ring::error::Unspecified> {
        let counter = self.sealed.to_be_bytes();
        // The number is used up even if the encryption fails: a nonce must never repeat under one key.
        self.sealed += 1;
        let mut value = Vec::with_capacity(HEAD + 20 + record.len() + AES_256_GCM.tag_len());
        value.put_u8(VERSION);
        value.put_slice(&self.salt);
        value.put_slice(&counter);
        value.put_u64(expires.as_millis());
        value.put_slice(id);
        value.put_slice(record);
        let contents = &mut value[HEAD..];
        let tag = self.key.seal_in_place_separate_tag(nonce(counter), Aad::from(key), contents)?;
        value.put_slice(tag.as_ref());
        Ok(value)
    }
}

fn nonce(counter: [u8; COUNTER_BYTES]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - COUNTER_BYTES..].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(nonce)
}

/// Decrypts values.
pub struct Opener<'a> {
    sealing: &'a Sealing,
    last: Option<(Vec<u8>, LessSafeKey)>,
}

impl Opener<'_> {
    /// The record under a key of etcd, which begins with its slot and kind. `None` if the value was not written with this
    /// server key, or was changed.
    pub fn open(&mut self, key: &[u8], value: &Bytes) -> Option<(Key, Timestamp, Bytes)> {
        let at = PREFIX.len() + "record/".len() + 1;
        let (slot, kind) = (*key.get(at)?, *key.get(at + 1)?);
        let (head, contents) = value.split_at_checked(HEAD).filter(|(head, _)| head[0] == VERSION)?;
        let (salt, counter) = head[1..].split_at(SALT_BYTES);
        if self.last.as_ref().is_none_or(|(last, _)| last != salt) {
            self.last = Some((salt.to_vec(), self.sealing.value_key(salt).ok()?));
        }
        let (_, value_key) = self.last.as_ref()?;
        let mut contents = contents.to_vec();
        let nonce = nonce(counter.try_into().ok()?);
        let length = value_key.open_in_place(nonce, Aad::from(key), &mut contents).ok()?.len();
        contents.truncate(length);
        let (mut contents, mut id) = (Bytes::from(contents), [0; 12]);
        let expires = Timestamp::from_millis(contents.try_get_u64().ok()?);
        contents.try_copy_to_slice(&mut id).ok()?;
        Some((Key { slot, kind, id }, expires, contents))
    }
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
        let (key, mut sealer) = (sealing.key(&KEY), sealing.sealer().unwrap());
        let [a, b] = [(), ()].map(|()| sealer.seal(&key, &KEY.id, EXPIRES, &KEY.id).unwrap());
        assert_ne!(a, b);
        for shown in [&key, &a] {
            assert!(!shown.windows(12).any(|window| window == KEY.id));
        }
    }

    #[test]
    fn another_server_key_a_moved_and_a_changed_value_are_refused() {
        let ours = sealing(1);
        let key = ours.key(&KEY);
        let value = ours.sealer().unwrap().seal(&key, &KEY.id, EXPIRES, b"record").unwrap();
        let other_key = ours.key(&Key { kind: 4, ..KEY });
        let value = Bytes::from(value);
        assert_eq!(sealing(2).opener().open(&key, &value), None);
        assert_eq!(ours.opener().open(&other_key, &value), None);
        for at in 0..value.len() {
            let mut changed = value.to_vec();
            changed[at] ^= 1;
            assert_eq!(ours.opener().open(&key, &Bytes::from(changed)), None, "byte {at}");
            assert_eq!(ours.opener().open(&key, &value.slice(..at)), None, "{at} bytes");
        }
    }
}
