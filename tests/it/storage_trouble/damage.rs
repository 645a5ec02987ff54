//! The program on a damaged data directory: it ends with 70 and one plain message, or it has all facts.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::belief::Facts;
use crate::support::prelude::*;

#[tokio::test]
async fn a_start_with_a_damaged_file_is_refused_with_70_or_nothing_is_missing() {
    let world = World::new().await;
    let old = Facts::made_in(&world).await;
    // These are in the snapshot, the others in the journal.
    let (world, _) = world.restart().await;
    let new = Facts::made_in(&world).await;
    let World { server, setup, .. } = world;
    server.killed().await;
    let original = setup.home().join("original");
    copy_directory(&setup.data_dir(), &original);
    let all = files(&original);
    let is_used = |(file, bytes): &&(PathBuf, Vec<u8>)| {
        file.extension().is_some_and(|extension| extension == "seg") && used_bytes(bytes) > 0
    };
    let newest = &all.iter().rfind(is_used).expect("a segment").0;

    for (file, bytes) in &all {
        let used = used_bytes(bytes);
        for (damage, does_to) in &DAMAGES[..if used > 0 { DAMAGES.len() } else { 3 }] {
            let what = format!("{}: {damage}", file.display());
            println!("{what}");
            fs::remove_dir_all(setup.data_dir()).expect("removed");
            copy_directory(&original, &setup.data_dir());
            does_to(&setup.data_dir().join(file.strip_prefix(&original).expect("below")), used)
                .expect(damage);
            match setup.try_start().await {
                Err(finished) => is_refused_plainly(&finished, &what),
                // The end of the newest segment may be torn: docs/operate/data-directory.md.
                Ok(_) if file == newest && ["empty", "cut"].contains(damage) => {}
                Ok(server) => {
                    old.hold(&server.client).await;
                    new.hold(&server.client).await;
                    server.killed().await;
                }
            }
        }
    }
}

/// Asserts that a start ended with 70 and one plain message.
#[track_caller]
pub fn is_refused_plainly(finished: &Finished, what: &str) {
    let output = &finished.output;
    assert_eq!(finished.status.code(), Some(70), "{what}: {output}");
    assert_eq!(output.matches("\"level\":\"ERROR\"").count(), 1, "{what}: {output}");
    for word in ["panicked", "backtrace", "BACKTRACE", "unwrap"] {
        assert!(!output.contains(word), "{what}: {output}");
    }
}

type Damage = (&'static str, fn(&Path, usize) -> io::Result<()>);

/// What may happen to a file. The last three need content, of which so many bytes are used.
const DAMAGES: [Damage; 6] = [
    ("missing", |path, _| fs::remove_file(path)),
    ("empty", |path, _| fs::write(path, "")),
    ("a directory", |path, _| fs::remove_file(path).and_then(|()| fs::create_dir(path))),
    ("cut", |path, used| fs::OpenOptions::new().write(true).open(path)?.set_len(used as u64 / 2)),
    ("flipped in its middle", |path, used| flip(path, used / 2, 3)),
    ("flipped", |path, used| flip(path, used / 4, 0)),
];

fn flip(path: &Path, at: usize, bit: u8) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes)
}

/// The number of bytes of a file before the zeros at its end.
fn used_bytes(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
