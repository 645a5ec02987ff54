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
    let original = tempfile::tempdir().expect("a directory");
    copy(&setup.data_dir(), original.path());
    let is_used = |file: &PathBuf| is_segment(file) && used_bytes(&original.path().join(file)) > 0;
    let newest = files_in(original.path()).into_iter().filter(is_used).max().expect("a segment");

    for file in files_in(original.path()) {
        let used = used_bytes(&original.path().join(&file));
        let mut damages = vec![Damage::Missing, Damage::Empty, Damage::Directory];
        if used > 0 {
            damages.extend([Damage::Cut(used / 2), Damage::Flip(used / 2, 3), Damage::Flip(used / 4, 0)]);
        }
        for damage in damages {
            let what = format!("{damage:?} {}", file.display());
            println!("{what}");
            std::fs::remove_dir_all(setup.data_dir()).expect("removed");
            copy(original.path(), &setup.data_dir());
            damage.does_to(&setup.data_dir().join(&file));
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    Missing,
    Empty,
    /// Only this many bytes are left.
    Cut(usize),
    /// One bit of one byte is flipped.
    Flip(usize, u8),
    Directory,
}

impl Damage {
    pub fn does_to(&self, path: &Path) {
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

/// All files below a directory, as paths relative to it, without sockets.
pub fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(directory).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Copies the whole directory, except files that no test needs.
pub fn copy(from: &Path, to: &Path) {
    for file in files_in(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        fs::copy(from.join(&file), target).expect("copied");
    }
}

/// The number of bytes of a file before the zeros at its end.
pub fn used_bytes(path: &Path) -> usize {
    fs::read(path).expect("read").iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
