//! The program on a damaged data directory: it ends with 70 and one plain message, or it has all facts.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::damage::{Damage, copy, files_in, used_bytes};
use super::ledger::ClientLedger;
use super::refusals::{locked_number, told};
use super::shim::{Call, Shim, Trouble};
use crate::support::{Client, Finished, Setup, World, soon};

/// A killed server and its facts: the first are in its snapshot, the others in its journal.
async fn a_killed_server() -> (Setup, Facts, Facts) {
    let world = World::new().await;
    let old = Facts::made_in(&world).await;
    let (world, _) = world.restart().await;
    let new = Facts::made_in(&world).await;
    world.server.kill();
    let World { setup, server, .. } = world;
    server.ended().await;
    (setup, old, new)
}

#[tokio::test]
async fn a_start_with_a_damaged_file_is_refused_with_70_or_nothing_is_missing() {
    let (setup, old, new) = a_killed_server().await;
    let original = tempfile::tempdir().expect("a directory");
    copy(&setup.data_dir(), original.path());
    let newest = newest_used(original.path());

    for file in files_in(original.path()) {
        let used = used_bytes(&original.path().join(&file));
        let mut damages = vec![Damage::Missing, Damage::Empty, Damage::Directory];
        if used > 0 {
            damages.extend([Damage::Cut(used / 2), Damage::Flip(used / 2, 3), Damage::Flip(used / 4, 0)]);
        }
        for damage in damages {
            let what = format!("{damage:?} {}", file.display());
            fresh(&setup, original.path());
            damage.does_to(&setup.data_dir().join(&file));
            match started(&setup).await {
                Err(finished) => refused_plainly(&finished, &what),
                // The documented exception.
                Ok(_) if file == newest && matches!(damage, Damage::Empty | Damage::Cut(_)) => {}
                Ok(server) => {
                    old.hold(&server.client).await;
                    new.hold(&server.client).await;
                    server.kill();
                    server.ended().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_start_with_an_unreadable_file_ends_with_70_and_damages_nothing() {
    let (setup, old, new) = a_killed_server().await;
    let shim = Shim::over(&setup.data_dir());
    let under_shim = shim.under(setup.clone());
    for part in ["FORMAT", "/lock", "server.key", ".seg", "MANIFEST", "/db"] {
        for (calls, error) in [
            (&[Call::Open, Call::Create][..], Errno::ACCESS),
            (&[Call::Read], Errno::IO),
            (&[Call::Open], Errno::MFILE),
        ] {
            shim.begin(&Trouble::of(calls, error).on(part));
            let what = format!("{calls:?} {error:?} {part}");
            match started(&under_shim).await {
                Err(finished) => refused_plainly(&finished, &what),
                Ok(server) => {
                    // The server opens the lock but never reads it.
                    assert!(shim.failed() == 0 && part == "/lock", "{what}: {}", shim.first());
                    server.kill();
                    server.ended().await;
                }
            }
            shim.end();
        }
    }
    let server = setup.start().await;
    old.hold(&server.client).await;
    new.hold(&server.client).await;
}

/// Numbers with known states.
struct Facts {
    locked: String,
    used: ClientLedger,
}

impl Facts {
    async fn made_in(world: &World) -> Self {
        let locked = locked_number(world).await;
        let mut used = told(world).await;
        assert_eq!(used.give(world).await.status(), 200);
        Self { locked, used }
    }

    async fn hold(&self, client: &Client) {
        assert_eq!(client.send(&self.locked).await.status(), 403, "a lockout was forgotten");
        self.used.still_holds(client, false).await;
    }
}

/// Restores the undamaged directory.
fn fresh(setup: &Setup, original: &Path) {
    std::fs::remove_dir_all(setup.data_dir()).expect("removed");
    copy(original, &setup.data_dir());
}

async fn started(setup: &Setup) -> Result<crate::support::Server, Finished> {
    let server = setup.launch();
    let listens = server.output().event(|event| event["message"] == "listening");
    if soon("a start or its end", listens).await.is_none() {
        return Err(server.ended().await);
    }
    Ok(server.with_client())
}

fn newest_used(directory: &Path) -> PathBuf {
    let is_used = |file: &PathBuf| {
        let segment = file.extension().is_some_and(|extension| extension == "seg");
        segment && used_bytes(&directory.join(file)) > 0
    };
    files_in(directory).into_iter().filter(is_used).max().expect("a segment")
}

#[track_caller]
fn refused_plainly(finished: &Finished, what: &str) {
    let output = &finished.output;
    assert_eq!(finished.status.code(), Some(70), "{what}: {output}");
    assert_eq!(output.matches("\"level\":\"ERROR\"").count(), 1, "{what}: {output}");
    for word in ["panicked", "backtrace", "BACKTRACE", "unwrap"] {
        assert!(!output.contains(word), "{what}: {output}");
    }
}
