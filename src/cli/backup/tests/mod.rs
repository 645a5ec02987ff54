//! Export and import preserve every state, and the import rejects everything else.

mod formats;
mod states;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::states::{entries, some};
use super::*;
use crate::clock::{EngineClock, ManualClock};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{SlotHash, key_fingerprint};
use crate::node::kinds;
use crate::store::{EmbeddedStore, FORMAT, OpenOptions, Store as _, Write};

const MINUTE: Duration = Duration::from_secs(60);

/// The time of every export here.
const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[test]
fn every_state_is_read_as_it_was_written_to_the_byte() {
    assert_eq!(read(&written(&entries())).expect("an export"), entries());
}

#[test]
fn when_any_bit_flips_the_export_is_refused() {
    let whole = written(&some());
    for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1_u8 << bit;
        assert!(read(&bytes).is_err(), "bit {bit} of byte {at}");
    }
}

#[test]
fn the_example_in_the_documentation_is_what_the_program_writes() {
    let documented = include_str!("../../../../docs/internals/storage.md");
    let begin = documented.find("{\"is\":").expect("an example");
    let example = documented[begin..].split("```").next().expect("an example");
    let read = read_with_header(example.as_bytes());
    let (header, entries) = read.expect("an export");
    assert!(!entries.is_empty());
    let again = String::from_utf8(written_with(&header, &entries)).expect("text");
    assert_eq!(again, example);
}

#[test]
fn what_is_no_export_is_called_that_and_a_newer_format_by_its_version() {
    let line = json!({"is": "onceward export", "format": FORMAT + 1, "program": "9.1.0", "colour": "blue"});
    let newer = format!("format {}, written by onceward 9.1.0", FORMAT + 1);
    for (text, part) in [
        (&*format!("{line}\n"), &*newer),
        ("\n", "zcat"),
        ("hello\n", "zcat"),
        ("{}\n", "zcat"),
        ("{\"is\":\"a list\",\"format\":1}\n", "zcat"),
        ("[1]\n", "zcat"),
        ("\u{1f}packed", "zcat"),
    ] {
        let error = read(text.as_bytes()).expect_err("refused").to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn what_a_line_must_not_say_is_named_with_the_line() {
    type Change = fn(&mut Value);
    let whole = read(&forged(&some(), 3, |_| ())).expect("only its sums were made again");
    assert_eq!(whole, some());
    let changes: [(Change, &str); 8] = [
        (
            |line| line["version"] = json!(9),
            "a record of numbers has version 9, and this program reads version 1",
        ),
        (|line| line["version"] = json!(0), "a record of numbers cannot be decoded: it has version 0"),
        (|line| line["kind"] = json!("colours"), "unknown `kind` \"colours\""),
        (|line| line["subject"] = json!("14155552672"), "`subject` is not valid for this kind"),
        (|line| line["subject"] = json!("+0"), "`subject` is not valid for this kind"),
        (|line| line["record"]["locked"]["until"] = json!("soon"), "a record of numbers cannot be decoded"),
        (|line| line["record"] = json!("open"), "a record of numbers cannot be decoded"),
        (|line| line["colour"] = json!("blue"), ""),
    ];
    for (change, says) in changes {
        let error = read(&forged(&some(), 3, change)).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("line 3: {says}")), "{error}");
    }
}

#[test]
fn a_check_says_what_is_wrong_with_a_record_and_masks_its_number() {
    let (good, kinds) = (some().remove(0), kinds());
    assert!(check(&good, &kinds).is_ok());
    let mut writer = Writer::begin(Vec::new(), &header()).expect("written");
    let changed = |change: fn(&mut CopiedRecord)| {
        let mut record = good.clone();
        change(&mut record);
        record
    };
    for (record, says) in [
        (changed(|it| it.record = Bytes::from_static(b"\x01nonsense")), "cannot be decoded"),
        (changed(|it| it.record = Bytes::from_static(b"\x09of a newer program")), "version 9"),
        (changed(|it| it.expires = AT.plus(MINUTE * 2)), "its expiry is not the stored one"),
        (changed(|it| it.key.kind = 99), "kind 99"),
    ] {
        let shown = check(&record, &kinds).expect_err(says).to_string();
        assert!(shown.contains(says) && !shown.contains("1415555"), "{shown}");
        assert!(says.contains("expiry") || writer.write(&record, &kinds).is_err(), "exported: {says}");
    }
}

fn key() -> ServerKey {
    ServerKey::from_bytes([7; 32])
}

fn header() -> Header {
    Header::new(AT, base16ct::lower::encode_string(&key_fingerprint(&key())))
}

fn written(entries: &[CopiedRecord]) -> Vec<u8> {
    written_with(&header(), entries)
}

fn written_with(header: &Header, entries: &[CopiedRecord]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), header).expect("written");
    for entry in entries {
        writer.write(entry, &kinds()).expect("written");
    }
    let (bytes, records) = writer.finish().expect("written");
    assert_eq!(records, entries.len() as u64);
    bytes
}

/// The export of these records with one changed line, and a matching checksum.
fn forged(entries: &[CopiedRecord], number: usize, change: impl Fn(&mut Value)) -> Vec<u8> {
    let (text, mut forged) = (String::from_utf8(written(entries)).expect("text"), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let mut content: Value = serde_json::from_str(line).expect("JSON");
        if content["kind"] == "end" {
            content["sha256"] = json!(base16ct::lower::encode_string(&Sha256::digest(&forged)));
        }
        if index + 1 == number {
            change(&mut content);
        }
        forged.extend(format!("{content}\n").bytes());
    }
    forged
}

fn read(bytes: &[u8]) -> Result<Vec<CopiedRecord>, ImportError> {
    let (found, entries) = read_with_header(bytes)?;
    assert_eq!(found, header());
    Ok(entries)
}

fn read_with_header(bytes: &[u8]) -> Result<(Header, Vec<CopiedRecord>), ImportError> {
    let (header, mut reader) = Reader::begin(bytes)?;
    let (kinds, slots) = (kinds(), SlotHash::new(&key()));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry(&kinds, &slots)? {
        entries.push(entry);
    }
    Ok((header, entries))
}

fn write(entry: &CopiedRecord) -> Write {
    Write { key: entry.key, put: Some(entry.record.clone()), expires: entry.expires }
}

/// Makes a data directory whose newest time is [`AT`].
async fn fill(dir: &Path, entries: &[CopiedRecord]) {
    let clock = EngineClock::over(Arc::new(ManualClock::starting_at(AT)));
    let mut options = OpenOptions::new(dir, key_fingerprint(&key()), clock);
    options.importing = true;
    let store = EmbeddedStore::open(&options).expect("a directory");
    store.commit(entries.iter().map(write).collect(), Box::new(|result| result.expect("committed")));
    store.close().await.expect("complete");
}
