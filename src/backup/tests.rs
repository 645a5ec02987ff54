//! Whatever the state is: what was exported is what is imported, and nothing else is taken for it.

mod states;

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::Timestamp;
use crate::store::record as envelope;
use crate::store::{CopyProgress, CopyReader, Key, NewStore, ReadOnly, Subject};
use states::items;

proptest! {
    #[test]
    fn every_state_is_read_as_it_was_written_to_the_byte(items in items()) {
        let entries: Vec<Entry> = items.iter().filter_map(|item| item.encode().expect("a record")).collect();
        let read = read(&written(&entries)).expect("an export");
        let again: Vec<Entry> = read.iter().filter_map(|item| item.encode().expect("a record")).collect();
        prop_assert_eq!(&again, &entries);
        prop_assert_eq!(read, items);
    }

    #[test]
    fn when_any_bit_flips_the_export_is_refused(items in items(), at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = written(&entries(&items));
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn when_an_export_is_cut_or_goes_on_behind_its_end_it_is_refused(items in items(), at: prop::sample::Index) {
        let bytes = written(&entries(&items));
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(read(&[&bytes[..], b"\n"].concat()).is_err());
        prop_assert!(read(&[&bytes[..], &bytes[..]].concat()).is_err());
    }

    #[test]
    fn when_lines_are_missing_doubled_or_exchanged_the_export_is_refused(
        items in items(),
        one: prop::sample::Index,
        other: prop::sample::Index,
    ) {
        let bytes = written(&entries(&items));
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let (one, other) = (one.index(lines.len()), other.index(lines.len()));
        let mut without = lines.clone();
        without.remove(one);
        prop_assert!(read(&without.concat()).is_err());
        let mut doubled = lines.clone();
        doubled.insert(other, lines[one]);
        prop_assert!(read(&doubled.concat()).is_err());
        if one != other {
            let mut exchanged = lines.clone();
            exchanged.swap(one, other);
            prop_assert!(read(&exchanged.concat()).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn without_its_codes_a_number_keeps_its_count_and_its_lockout(items in items()) {
        for item in items {
            let before = item.content.clone();
            let (after, _) = item.without_codes();
            match (before, after.content) {
                (Content::Number(_, _, before), Content::Number(_, _, after)) => {
                    prop_assert_eq!(after.failures(), before.failures());
                    let locked = |state: &NumberState| matches!(state, NumberState::Locked { .. });
                    prop_assert_eq!(locked(&after), locked(&before));
                    let usable = after.verification().filter(|v| v.is_live(Timestamp::from_millis(1)));
                    prop_assert!(usable.is_none());
                }
                (Content::Sends(..), Content::Sends(_, after)) => prop_assert!(after.plan.is_none()),
                _ => prop_assert!(false, "it became another thing"),
            }
        }
    }
}

proptest! {
    // Each makes two databases.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_export_of_what_was_imported_is_the_same_export(items in items()) {
        let home = tempfile::tempdir().expect("a directory");
        let (first, second) = (home.path().join("first"), home.path().join("second"));
        fill(&first, &entries(&items));
        let export = exported(&first);
        let imported: Vec<Entry> = entries(&read(&export).expect("an export"));
        fill(&second, &imported);
        prop_assert_eq!(exported(&second), export);
    }
}

#[test]
fn a_newer_format_is_refused_with_who_wrote_it() {
    let line = b"{\"is\":\"onceward export\",\"format\":3,\"program\":\"9.1.0\",\"colour\":\"blue\"}\n";
    let error = read(line).expect_err("refused").to_string();
    assert!(error.contains("format 3, written by onceward 9.1.0"), "{error}");
}

#[test]
fn what_is_no_export_is_called_that() {
    for text in ["\n", "hello\n", "{}\n", "{\"is\":\"a list\",\"format\":2}\n", "[1]\n"] {
        let error = read(text.as_bytes()).expect_err("refused");
        assert!(matches!(error, ImportError::NoExport), "{text:?}: {error}");
    }
}

#[test]
fn a_damaged_line_is_named() {
    let entries = entries(&states::some());
    let text = String::from_utf8(written(&entries)).expect("text");
    let error = read(text.replacen("\"failures\":3", "\"failures\":0", 1).as_bytes()).expect_err("refused");
    assert!(error.to_string().starts_with("line 2: the line is not as it was written"), "{error}");
}

#[test]
fn a_check_lists_every_record_that_is_damaged_and_no_other() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("data");
    let mut all = entries(&states::some());
    let good = all[0].clone();
    for (digits, record, gc_after) in [
        (14_155_552_673, Bytes::from_static(b"nonsense"), good.gc_after),
        (14_155_552_674, envelope::seal(9, b"of a newer program"), good.gc_after),
        (14_155_552_675, good.record.clone(), Timestamp::from_millis(1)),
        (9_999_999_999_999_999, good.record.clone(), good.gc_after),
    ] {
        let key = Key { subject: Subject(digits), ..good.key };
        all.push(Entry { key, gc_after, record });
    }
    fill(&dir, &all);
    let directory = ReadOnly::open(&dir).expect("a data directory");
    let mut found = Vec::new();
    let judge = |entry: &Entry| check(entry).map_err(|what| format!("{}: {what}", name(entry)));
    let examined = directory.examine(&judge, &mut |finding| found.push(finding.what)).expect("examined");
    assert_eq!(examined.snapshot_records, Some(6));
    assert_eq!(found.len(), 4, "{found:?}");
    for (finding, says) in found.iter().zip(["checksum", "version 9", "for as long as", "is no number"]) {
        assert!(finding.contains(says), "{finding}");
        assert!(!finding.contains("1415555"), "a whole number: {finding}");
    }
}

#[test]
fn a_packed_export_is_named_as_one_whatever_its_bytes_look_like_as_lines() {
    for packed in [&b"\x1f\x8b\x08\0"[..], b"\x1f\x8b\x08\n{}\n"] {
        let error = read(packed).expect_err("no export");
        assert!(matches!(error, ImportError::Compressed), "{error}");
        assert!(error.to_string().contains("zcat"), "{error}");
    }
}

fn header() -> Header {
    Header {
        program: "0.1.0".into(),
        exported_at: Timestamp::from_millis(1_700_000_000_000),
        key: "07".repeat(16),
        numbers: 0,
        sends: 0,
        others: 0,
    }
}

fn entries(items: &[Item]) -> Vec<Entry> {
    items.iter().filter_map(|item| item.encode().expect("a record")).collect()
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header()).expect("written");
    for entry in entries {
        writer.write(entry).expect("written");
    }
    writer.finish().expect("written").0
}

fn read(bytes: &[u8]) -> Result<Vec<Item>, ImportError> {
    let (_, mut reader) = Reader::begin(bytes)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

fn fill(dir: &Path, entries: &[Entry]) {
    let mut store = NewStore::begin(dir, [7; 16], Timestamp::EPOCH).expect("a directory");
    for Entry { key, gc_after, record } in entries {
        store.add(*key, *gc_after, record.clone()).expect("added");
    }
    store.finish().expect("complete");
}

fn exported(dir: &Path) -> Vec<u8> {
    let directory = ReadOnly::open(dir).expect("a data directory");
    let copied = directory.copy(&CopyProgress::default()).expect("a copy");
    let mut records = CopyReader::new(copied.file);
    let mut writer = Writer::begin(Vec::new(), &header()).expect("written");
    while let Some(entry) = records.next_entry().expect("a copy") {
        writer.write(&entry).expect("written");
    }
    writer.finish().expect("written").0
}
