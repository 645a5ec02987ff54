//! Data that another version of the program wrote, older or newer: what a start and the commands say.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use onceward::clock::SystemClock;
use onceward::store::{EmbeddedStore, OpenOptions, Store as _, Write, key_fingerprint_in};
use rustix::process::Signal;
use tokio::sync::oneshot;

use super::import;
use crate::support::{HeldRecords, Setup, World};

/// The way from one version to another.
const WAY_OUT: [&str; 3] = ["onceward export", "onceward import", "\"Another version\""];

#[tokio::test]
async fn another_format_names_both_formats_and_the_way_out() {
    let setup = stopped().await;
    let path = setup.data_dir().join("FORMAT");
    let right = fs::read_to_string(&path).expect("FORMAT");
    assert!(right.contains("format = 4\n"), "{right}");
    for (found, whose) in [("3", "an older version"), ("5", "a newer version")] {
        fs::write(&path, right.replace("format = 4", &format!("format = {found}"))).expect("edited");
        let has =
            format!("has format {found}, and this program reads format 4: {whose} of onceward wrote it");
        refuses(&setup, &[&has], 70).await;
    }
    fs::write(&path, format!("{right}x")).expect("edited");
    let started = setup.run().await;
    assert_eq!(started.status.code(), Some(70), "{}", started.output);
    for part in ["FORMAT is damaged (it goes on after its fourth line)", "put the file back"] {
        assert!(started.output.contains(part), "no {part:?} in {}", started.output);
    }

    // The version that wrote it exports it, and the import starts.
    fs::write(&path, right).expect("put back");
    super::export(&setup, "all.jsonl").await;
    let imported = import(&setup, "all.jsonl", "other").await;
    assert_eq!(imported.status.code(), Some(0), "{}", imported.output);
    setup.clone().args(["--data-dir", "other"]).start().await;
}

#[tokio::test]
async fn another_version_of_a_record_names_both_versions_and_the_way_out() {
    let setup = stopped().await;
    let right = record_with_version(&setup, None).await;
    for (found, whose) in [(right - 1, "an older version"), (right + 1, "a newer version")] {
        record_with_version(&setup, Some(found)).await;
        let what = format!("a record of numbers has version {found}, and this program reads version {right}");
        refuses(&setup, &[&what, whose], 65).await;
        let checked = setup.command(["check-data", "--data-dir", "data"]).await;
        assert_eq!(checked.status.code(), Some(65), "{}", checked.output);
        assert!(checked.output.contains(&format!("cannot be read: {what}")), "{}", checked.output);
    }
    record_with_version(&setup, Some(right)).await;
    setup.start().await;
}

/// Asserts that a start and an export name these and the way out.
async fn refuses(setup: &Setup, parts: &[&str], of_export: i32) {
    let started = setup.run().await;
    let exported = setup.command(["export", "--data-dir", "data", "--out", "no.jsonl"]).await;
    for (finished, code) in [(started, 70), (exported, of_export)] {
        assert_eq!(finished.status.code(), Some(code), "{}", finished.output);
        for part in parts.iter().copied().chain(WAY_OUT) {
            // The log quotes the quotation marks.
            let output = finished.output.replace("\\\"", "\"");
            assert!(output.contains(part), "no {part:?} in {output}");
        }
    }
    assert!(!setup.home().join("no.jsonl").exists());
}

/// The data directory of a server that stopped in order, with a number.
async fn stopped() -> Setup {
    let world = World::new().await;
    world.number_with_code().await;
    world.server.signal(Signal::TERM);
    assert_eq!(world.server.ended().await.status.code(), Some(0));
    world.setup
}

/// Writes the number's record again with this version, and returns the version that it had.
async fn record_with_version(setup: &Setup, version: Option<u8>) -> u8 {
    const NUMBERS: u8 = 1;
    let mut key = [0; 16];
    let hex = key_fingerprint_in(&setup.data_dir()).expect("a data directory");
    base16ct::lower::decode(hex, &mut key).expect("32 digits");
    let options = OpenOptions::new(setup.data_dir(), key, Arc::new(SystemClock::start()));
    let store = EmbeddedStore::open(&options).expect("a store");
    let held = HeldRecords::attached_to(&store).await.expect("its records");
    let number = held.all().into_iter().find(|(key, ..)| key.kind == NUMBERS);
    let (key, record, expires) = number.expect("a number");
    if let Some(version) = version {
        let mut bytes = record.to_vec();
        bytes[0] = version;
        let write = Write { key, put: Some(Bytes::from(bytes)), expires };
        let (to, answer) = oneshot::channel();
        store.commit(vec![write.clone()], Box::new(move |result| drop(to.send(result))));
        answer.await.expect("an answer").expect("written");
        held.apply([write]);
    }
    store.close().await.expect("closed");
    record[0]
}
