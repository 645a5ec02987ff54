//! Data that a newer version of the program wrote: what a start and the commands say.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use onceward::clock::SystemClock;
use onceward::store::{EmbeddedStore, OpenOptions, Store as _, Write, key_fingerprint_in};
use tokio::sync::oneshot;

use super::{closed, files};
use crate::support::{HeldRecords, Says, Setup};

/// What a refusal names.
const REMEDY: [&str; 2] = ["install ", "\"Downgrade\" in docs/operate/deploy.md"];

#[tokio::test]
async fn a_newer_format_names_the_version_that_it_needs() {
    let setup = closed(1).await;
    let path = setup.data_dir().join("FORMAT");
    let right = fs::read_to_string(&path).expect("FORMAT");
    let program = format!("program = {}\n", env!("CARGO_PKG_VERSION"));
    assert!(right.contains("format = 1\n") && right.contains(&program), "{right}");
    fs::write(&path, right.replace("format = 1", "format = 2").replace(&program, "program = 9.1.0\n"))
        .expect("edited");
    let before = files(&setup.data_dir());
    let needs = "has format 2, written by onceward 9.1.0, and this program";
    refuses(&setup, &[needs, "install onceward 9.1.0 or a later version"], 65).await;
    setup.command(["check-data"]).await.exits(65).says(["format 2, written by onceward 9.1.0"]);
    assert_eq!(files(&setup.data_dir()), before, "a refusal changes nothing");

    fs::write(&path, format!("{right}x")).expect("edited");
    let parts = ["FORMAT is damaged (", "it goes on after its fifth line", "put the file back"];
    setup.run().await.exits(70).says(parts);
    fs::write(&path, right).expect("put back");
    setup.start().await;
}

#[tokio::test]
async fn a_newer_version_of_a_record_names_both_versions_and_the_remedy() {
    let setup = closed(1).await;
    let right = record_with_version(&setup, None).await;
    let newer = right + 1;
    record_with_version(&setup, Some(newer)).await;
    let what =
        format!("a record of numbers has version {newer}, and this program reads versions up to {right}");
    refuses(&setup, &[&what, "a newer version"], 65).await;
    let checked = setup.command(["check-data"]).await.exits(65);
    assert!(checked.output.contains(&format!("cannot be read: {what}")), "{}", checked.output);
    record_with_version(&setup, Some(right)).await;
    setup.start().await;
}

/// Asserts that a start and an export name these and the remedy.
async fn refuses(setup: &Setup, parts: &[&str], of_export: i32) {
    let started = setup.run().await;
    let exported = setup.command(["export", "--out", "no.jsonl"]).await;
    for (finished, code) in [(started, 70), (exported, of_export)] {
        // The log quotes the quotation marks.
        let output = finished.exits(code).output.replace("\\\"", "\"");
        output.says(parts.iter().copied().chain(REMEDY));
    }
    assert!(!setup.home().join("no.jsonl").exists());
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
