//! Trouble at the start and the stop of a server: the server reports it plainly and damages nothing.

use rustix::io::Errno;
use rustix::process::Signal;

use super::damage::is_refused_plainly;
use crate::belief::Facts;
use crate::support::prelude::*;

#[tokio::test]
async fn a_disk_that_fails_at_the_start_is_named_and_the_next_start_is_good() {
    let (world, shim) = World::over_shim(Setup::new()).await;
    let old = Facts::made_in(&world).await;
    let (world, _) = world.restart().await;
    let new = Facts::made_in(&world).await;
    let World { server, setup, .. } = world;
    server.killed().await;
    let changes = &Call::CHANGES[..];
    let opens = &[Call::Open, Call::Create][..];
    let mut troubles = vec![
        (changes, "", Errno::NOSPC, "free space"),
        (changes, "", Errno::DQUOT, "raise the quota"),
        (changes, "", Errno::ROFS, "mount it writable"),
        (changes, "", Errno::IO, "dmesg"),
        (&[Call::Read], "/journal/", Errno::IO, "dmesg"),
        (opens, "", Errno::ACCESS, "chown"),
        (opens, "", Errno::MFILE, "open files"),
    ];
    for part in ["FORMAT", "server.key", ".seg", "MANIFEST", "/db"] {
        troubles.push((opens, part, Errno::ACCESS, "chown"));
        troubles.push((&[Call::Open], part, Errno::MFILE, "open files"));
        troubles.push((&[Call::Read], part, Errno::IO, "dmesg"));
    }
    for (calls, part, error, advice) in troubles {
        let what = format!("{calls:?} {part} {error:?}");
        println!("{what}");
        shim.begin(&Trouble::of(calls, error).on(part));
        let Err(refused) = setup.try_start().await else { panic!("{what}: it started") };
        shim.end();
        is_refused_plainly(&refused, &what);
        refused.says([&*setup.data_dir().to_string_lossy(), advice]);
        // A refused open or read changes no file: the start after all of them is enough.
        if calls == changes {
            let server = setup.start().await;
            assert_eq!(server.client.send(&old.locked).await.status(), 403, "{what}");
            server.killed().await;
        }
    }
    let server = setup.start().await;
    old.hold(&server.client).await;
    new.hold(&server.client).await;
}

#[tokio::test]
async fn a_stop_in_trouble_loses_nothing_and_exits_with_1_or_74() {
    for error in [Errno::NOSPC, Errno::IO] {
        // A background write to the journal may meet the trouble before the stop.
        for (calls, part, may_fail_before) in [
            (&[Call::Write, Call::Cut][..], ".seg", true),
            (&[Call::Sync], ".seg", true),
            (&Call::CHANGES, "/snapshot/", false),
            (&Call::CHANGES, "", true),
            (&[Call::Unlink], ".seg", false),
        ] {
            println!("{calls:?} {part} {error:?}");
            let (world, shim) = World::over_shim(Setup::new()).await;
            let facts = Facts::made_in(&world).await;
            shim.begin(&Trouble::of(calls, error).on(part));
            world.server.signal(Signal::TERM);
            let is_end = |line: &Value| line["message"].as_str().is_some_and(|m| m.starts_with("stopped"));
            soon("the end", world.server.output().event(is_end)).await;
            shim.end();
            let finished = world.server.ended().await;
            let has_stopped = finished.output.contains("stopped, last checkpoint failed");
            let has_failed = may_fail_before && finished.output.contains("store failed");
            assert!(has_stopped || has_failed, "{}", finished.output);
            let finished = finished.exits(if has_stopped { 1 } else { 74 });
            assert!(!finished.output.contains("panicked"), "{}", finished.output);
            facts.hold(&world.setup.start().await.client).await;
        }
    }
}
