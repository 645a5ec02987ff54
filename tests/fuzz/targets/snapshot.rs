//! A snapshot as a start reads it: its manifest, and the chunks in its database.

use bytes::Bytes;
use onceward::domain::Timestamp;
use onceward::store::reading::{self, DatabaseEntries};
use onceward::store::{CopiedRecord, Key};

/// Arbitrary bytes as the manifest or as a chunk; and a snapshot of some records with the input's damage.
pub fn snapshot(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    match first % 4 {
        0 => manifest(rest),
        1 => chunk(rest, false),
        2 => chunk(rest, true),
        _ => damaged(rest),
    }
}

/// Only the written text is a valid manifest.
fn manifest(input: &[u8]) {
    let (right, entries) = reading::write_snapshot(&[]).expect("an empty snapshot");
    let text = String::from_utf8_lossy(input);
    if reading::snapshot(&text, &entries).is_ok() {
        assert_eq!(text, right);
    }
}

/// A database with one chunk, even with the right checksum, does not fit another manifest.
fn chunk(input: &[u8], fixed_up: bool) {
    let (manifest, mut entries) = reading::write_snapshot(&[record(1, b"one")]).expect("a snapshot");
    let (key, right) =
        entries.iter().next().map(|(key, value)| (key.clone(), value.clone())).expect("a chunk");
    let mut value = input.to_vec();
    if fixed_up && value.len() > 4 {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&key), &value[4..]);
        value[..4].copy_from_slice(&checksum.to_be_bytes());
    }
    let is_right = value == right;
    entries.insert(key, value);
    assert_eq!(reading::snapshot(&manifest, &entries).is_ok(), is_right, "another chunk was taken");
}

/// Records that the input describes, with one damage, which the reader must always notice.
fn damaged(input: &[u8]) {
    let (damage, description) = input.split_at(input.len().min(6));
    let records: Vec<CopiedRecord> = description
        .iter()
        .take(60)
        .map(|byte| record(*byte, &b"record ".repeat(usize::from(*byte) * 4)))
        .collect();
    let (manifest, entries) = reading::write_snapshot(&records).expect("a snapshot");
    assert_eq!(reading::snapshot(&manifest, &entries).expect("as it was written"), records);
    let Ok(damage) = <[u8; 6]>::try_from(damage) else { return };
    let (mut text, mut broken) = (manifest.clone().into_bytes(), entries.clone());
    damage_one(&mut text, &mut broken, damage);
    if (text.as_slice(), &broken) != (manifest.as_bytes(), &entries) {
        let text = String::from_utf8_lossy(&text);
        assert!(reading::snapshot(&text, &broken).is_err(), "damage was passed over");
    }
}

fn damage_one(manifest: &mut Vec<u8>, entries: &mut DatabaseEntries, damage: [u8; 6]) {
    let [kind, which, a, b, bit, other] = damage;
    let keys: Vec<Vec<u8>> = entries.keys().cloned().collect();
    let key = &keys[usize::from(which) % keys.len()];
    if kind % 4 == 0 {
        drop(entries.remove(key));
        return;
    }
    let bytes = if kind % 4 == 1 { manifest } else { entries.get_mut(key).expect("its value") };
    let at = usize::from(u16::from_le_bytes([a, b])) % bytes.len();
    match other % 3 {
        0 => bytes[at] ^= 1 << (bit % 8),
        1 => bytes.truncate(at),
        _ => bytes.insert(at, bit),
    }
}

fn record(name: u8, record: &[u8]) -> CopiedRecord {
    let key = Key { slot: name, kind: 1, id: [name; 12] };
    CopiedRecord { key, expires: Timestamp::from_millis(u64::MAX), record: Bytes::copy_from_slice(record) }
}
