//! Checkpoints: their begin, their content, and crashes during them.

use super::*;

#[test]
fn what_has_changed_is_in_a_checkpoint_after_twenty_minutes() {
    let mut world = World::with_one_record();
    assert_eq!(snapshots(&world.dir()), ["0000000000"]);
    world.clock.advance(Duration::from_secs(20 * 60));
    world.remove(1);
    until(|| (!snapshots(&world.dir()).contains(&"0000000000".to_owned())).then_some(()));
    world.assert_as_expected();
}

#[test]
fn a_crash_at_any_step_of_a_checkpoint_loses_nothing() {
    let mut world = World::with_sizes(4096, 1024 * 1024);
    let text = "x".repeat(1000);
    for turn in 0..2 {
        for number in 0..20 {
            world.put(number + turn, &text);
        }
        world.remove(turn);
        let crashes = Arc::new(Mutex::new(Vec::new()));
        let (taken, dir) = (crashes.clone(), world.dir());
        world.disk.then(move |step, _| taken.lock().push((step, copy_of(&dir))));
        world.checkpoint().unwrap();
        world.disk.heal();
        let crashes = std::mem::take(&mut *crashes.lock());
        assert!(crashes.iter().any(|(step, _)| *step == Operation::Remove));
        assert!(crashes.len() > 10, "{} steps", crashes.len());
        for (step, crash) in crashes {
            assert_eq!(world.contents_after_crash(&crash).unwrap(), world.expected, "{step:?}");
            // The next start does not use the remains, and has removed them.
            assert!(!snapshots(crash.path()).iter().any(|name| name.contains('.')), "{step:?}");
            let mut again = World::with_sizes(4096, 1024 * 1024);
            again.expected = world.expected.clone();
            again.begin_with(&crash);
            again.put(100, "after");
            again.checkpoint().unwrap();
            assert_eq!(snapshots(&again.dir()).len(), 1, "{step:?}");
            again.crash_and_check();
        }
    }
}

#[test]
fn an_owner_that_goes_away_aborts_the_checkpoint_cleanly() {
    let mut world = World::with_one_record();
    world.owner.is_silent.store(true, Ordering::Relaxed);
    for slices in [0, 1, 5] {
        let goes_away = async {
            let stream = world.owner.kept_stream().await;
            for number in 0..slices {
                stream.send(Some(vec![write(number, Some("text"))])).await.unwrap();
            }
        };
        let both = async { tokio::join!(world.store().checkpoint(), goes_away) };
        let error = world.runtime.block_on(both).0.unwrap_err().to_string();
        assert!(error.contains("the owner of the records went away"), "{error}");
        assert_eq!(snapshots(&world.dir()), ["0000000000"]);
        world.assert_as_expected();
    }
    world.owner.is_silent.store(false, Ordering::Relaxed);
    world.checkpoint().unwrap();
    world.crash_and_check();
}

#[test]
fn a_journal_filled_by_failed_checkpoints_takes_what_the_next_one_needs() {
    let mut world = World::with_sizes(4096, 16 * 1024);
    let text = "x".repeat(1000);
    world.disk.fail(Operation::Step("Created"), Errno::IO);
    let taken = (0..1000).take_while(|number| world.batch(&[(*number, Some(&text))]).is_ok()).count();
    assert!((55..64).contains(&taken), "{taken} batches were taken although no checkpoint succeeds");
    let trouble = world.store().health().unwrap_err();
    assert!(trouble.contains("no checkpoint has emptied it"), "{trouble}");
    world.assert_crash_safe("full");
    world.owner.is_silent.store(true, Ordering::Relaxed);
    world.disk.heal();
    // A checkpoint that got the owner's records before the owner was silent meets the fault.
    let checkpoint = async { while world.store().checkpoint().await.is_err() {} };
    let lazy = world.owner.commits_lazily(world.store(), 2000);
    let both = async { tokio::time::timeout(HANGS_AFTER, async { tokio::join!(checkpoint, lazy) }).await };
    world.runtime.block_on(both).expect("the checkpoint hangs");
    world.expected.insert(2000, "lazy".into());
    world.owner.is_silent.store(false, Ordering::Relaxed);
    world.put(2001, &text);
    assert_eq!(world.store().health(), Ok(()));
    world.crash_and_check();
}
