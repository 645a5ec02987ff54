//! The program on a damaged data directory: it ends with 70 and one plain message, or it has all facts.

use std::fs;
use std::path::{Path, PathBuf};

use super::killed;
use crate::belief::Facts;
use crate::support::prelude::*;

#[tokio::test]
async fn a_start_with_a_damaged_file_is_refused_with_70_or_nothing_is_missing() {
    let world = World::new().await;
    let old = Facts::made_in(&world).await;
    // These are in the snapshot, the others in the journal.
    let (world, _) = world.restart().await;
    let new = Facts::made_in(&world).await;
    let setup = killed(world).await;
    let original = setup.home().join("original");
    copy_directory(&setup.data_dir(), &original);
    let all = files(&original);
    let is_used = |(file, bytes): &&(PathBuf, Vec<u8>)| {
        file.extension().is_some_and(|extension| extension == "seg") && used_bytes(bytes) > 0
    };
    let newest = &all.iter().rfind(is_used).expect("a segment").0;

    for (file, bytes) in &all {
        let used = used_bytes(bytes);
        let mut damages = vec![Damage::Missing, Damage::Empty, Damage::Directory];
        if used > 0 {
            damages.extend([Damage::Cut(used / 2), Damage::Flip(used / 2, 3), Damage::Flip(used / 4, 0)]);
        }
        for damage in damages {
            let what = format!("{damage:?} {}", file.display());
            println!("{what}");
            fs::remove_dir_all(setup.data_dir()).expect("removed");
            copy_directory(&original, &setup.data_dir());
            damage.does_to(&setup.data_dir().join(file.strip_prefix(&original).expect("below")));
            match setup.try_start().await {
                Err(finished) => is_refused_plainly(&finished, &what),
                // The end of the newest segment may be torn: docs/operate/data-directory.md.
                Ok(_) if file == newest && matches!(damage, Damage::Empty | Damage::Cut(_)) => {}
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

#[derive(Debug)]
enum Damage {
    Missing,
    Empty,
    /// Only this many bytes are left.
    Cut(usize),
    /// One bit of one byte is flipped.
    Flip(usize, u8),
    Directory,
}

impl Damage {
    fn does_to(&self, path: &Path) {
        match self {
            Self::Missing => fs::remove_file(path).expect("removed"),
            Self::Empty => fs::write(path, "").expect("emptied"),
            Self::Cut(length) => {
                let file = fs::OpenOptions::new().write(true).open(path).expect("a file");
                file.set_len(*length as u64).expect("cut");
            }
            Self::Flip(at, bit) => {
                let mut bytes = fs::read(path).expect("read");
                bytes[*at] ^= 1 << bit;
                fs::write(path, bytes).expect("written");
            }
            Self::Directory => {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("a directory");
            }
        }
    }
}

/// The number of bytes of a file before the zeros at its end.
fn used_bytes(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
