//! What a start reads of the snapshot: its layers.

use std::cell::RefCell;
use std::collections::BTreeMap;

use onceward::store::OpenError;
use onceward::store::reading::{self, LayerEntry, SnapshotReading};
use tempfile::TempDir;

use super::support::layer_writer::{HEADER, Range, described, encoded};

/// What the layers have that are made here of arbitrary bytes.
const RANGE: Range = Range { first: 0, last: 7, sequence: 9 };

/// A snapshot: arbitrary bytes as its only layer, or with everything around them put right; and layers written by another
/// hand, then damaged as the input says.
pub fn layer(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    match first % 4 {
        0 => as_they_are(rest),
        1 => drop(read_one(RANGE, [&RANGE.header(), rest].concat())),
        2 => body(rest),
        _ => damaged(rest),
    }
}

/// A whole file, under the name that it should have. What is missing below it is there, and empty.
fn as_they_are(bytes: &[u8]) {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        assert!(read_one(RANGE, bytes.to_vec()).is_err(), "it ends within the header");
        return;
    };
    let range = Range::said_by(header);
    if range.first > range.last {
        // No file of that name is a layer.
        return assert!(read(&[(range.name(), bytes.to_vec())]).is_err());
    }
    let mut files = vec![(range.name(), bytes.to_vec())];
    if let Some(last) = range.first.checked_sub(1) {
        let below = Range { first: 0, last, sequence: 0 };
        files.push((below.name(), below.layer(&[])));
    }
    let Ok(found) = read(&files) else { return };
    assert_eq!((found.covered_segment, found.covered_sequence), (range.last, range.sequence));
    is_in_order(&found);
    assert!(range.header() == header, "a header that was read");
    // What was read is what is there, up to where blocks begin.
    let bodies: Vec<u8> =
        found.layers.iter().flat_map(|(_, entries)| entries.iter().flat_map(encoded)).collect();
    let around = HEADER + 24;
    let blocks = (bytes.len() - around - bodies.len()) / 16;
    assert_eq!(bytes.len(), around + bodies.len() + 16 * blocks, "nothing else is in the file");
    let entries = found.latest.len() as u64;
    assert!(bytes.ends_with(&range.end(blocks as u64, entries)), "its end says how much there is");
}

/// The entries of one block, whose checksum is right and whose claims are those of the input.
fn body(input: &[u8]) {
    let Some((claimed, body)) = input.split_first() else { return };
    let claimed = u32::from(*claimed);
    let block = RANGE.block(claimed, body);
    let around = |block: Vec<u8>| [RANGE.header(), block, RANGE.end(1, claimed.into())].concat();
    let other = Range { last: RANGE.last + 1, ..RANGE };
    assert!(read_one(RANGE, around(other.block(claimed, body))).is_err(), "a block of another layer");
    let Ok(found) = read_one(RANGE, around(block)) else { return };
    is_in_order(&found);
    let [(_, entries)] = &found.layers[..] else {
        panic!("one layer with entries, not {}", found.layers.len())
    };
    assert_eq!(entries.len(), claimed as usize);
    assert_eq!(entries.iter().flat_map(encoded).collect::<Vec<u8>>(), body, "what was read is what is there");
}

/// Layers as the input describes them, with one damage, which must be noticed whatever it is.
fn damaged(input: &[u8]) {
    let (damage, description) = input.split_at(input.len().min(8));
    let layers = described(description);
    let mut files: Vec<(String, Vec<u8>)> =
        layers.iter().map(|(range, blocks)| (range.name(), range.layer(blocks))).collect();
    let whole = read(&files).unwrap_or_else(|error| panic!("{error}"));
    is_in_order(&whole);
    let last = layers.last().expect("a layer").0;
    assert_eq!((whole.covered_segment, whole.covered_sequence), (last.last, last.sequence));
    let entries: Vec<Vec<LayerEntry>> = layers.into_iter().map(|(_, blocks)| blocks.concat()).collect();
    let with_any: Vec<&Vec<LayerEntry>> = entries.iter().filter(|entries| !entries.is_empty()).collect();
    assert_eq!(whole.layers.iter().map(|(_, entries)| entries).collect::<Vec<_>>(), with_any, "all of it");
    let newest: BTreeMap<_, _> = entries.concat().into_iter().map(|entry| (entry.key, entry)).collect();
    assert_eq!(whole.latest, newest.into_values().collect::<Vec<_>>());
    let Ok(damage) = <[u8; 8]>::try_from(damage) else { return };
    if damage_one(&mut files, damage) {
        match read(&files) {
            Err(OpenError::SnapshotDamaged { .. }) => {}
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("damage was passed over"),
        }
    }
}

/// Does what `damage` says to one of the files; says whether that changes anything which must be noticed.
fn damage_one(files: &mut Vec<(String, Vec<u8>)>, damage: [u8; 8]) -> bool {
    let [kind, which, a, b, c, rest @ ..] = damage;
    let which = usize::from(which) % files.len();
    let layers = files.len();
    let bytes = &mut files[which].1;
    let old = bytes.clone();
    let at = usize::from(u16::from_le_bytes([a, b])) % bytes.len();
    match kind % 5 {
        0 => bytes[at] ^= 1 << (c % 8),
        1 => bytes.truncate(at),
        // A checksum of four bytes notices every change of as many in a row.
        2 => {
            let end = (at + 1 + usize::from(c % 4)).min(bytes.len());
            bytes[at..end].iter_mut().zip(rest).for_each(|(byte, other)| *byte = other);
        }
        3 => bytes.extend(rest),
        // Nothing says that there was one behind the last: the journal does, which begins behind that.
        _ => {
            files.remove(which);
            return which + 1 < layers || layers == 1;
        }
    }
    *bytes != old
}

fn is_in_order(found: &SnapshotReading) {
    let runs = found.layers.iter().map(|(_, entries)| entries).chain([&found.latest]);
    for entries in runs {
        assert!(
            entries.is_sorted_by(|one, next| one.key < next.key),
            "entries come in the order of their keys"
        );
    }
}

fn read_one(range: Range, bytes: Vec<u8>) -> Result<SnapshotReading, OpenError> {
    read(&[(range.name(), bytes)])
}

fn read(files: &[(String, Vec<u8>)]) -> Result<SnapshotReading, OpenError> {
    thread_local! {
        static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder")).path();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            std::fs::remove_file(entry.expect("a file").path()).expect("removed");
        }
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).expect("written");
        }
        let found = reading::snapshot(folder);
        if let Err(error) = &found {
            assert!(!error.to_string().is_empty());
        }
        found
    })
}
