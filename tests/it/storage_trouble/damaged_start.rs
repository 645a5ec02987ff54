//! The program on a damaged data directory: it ends with 70 and one plain message, or it has all facts.

use std::path::PathBuf;

use super::damage::{Damage, copy, files_in, is_segment, used_bytes};
use super::killed;
use super::ledger::Facts;
use crate::support::{Finished, World};

#[tokio::test]
async fn a_start_with_a_damaged_file_is_refused_with_70_or_nothing_is_missing() {
    let world = World::new().await;
    let old = Facts::made_in(&world).await;
    // These are in the snapshot, the others in the journal.
    let (world, _) = world.restart().await;
    let new = Facts::made_in(&world).await;
    let (setup, ..) = killed(world).await;
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
                // The documented exception.
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
