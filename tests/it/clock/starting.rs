//! The clock is set between a stop and the next start.

use std::fs;

use rustix::process::Signal;

use super::{HOUR, Wrong, YEAR, lock_out, warnings};
use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::wrong as wrong_code;

#[tokio::test]
async fn after_a_kill_and_a_clock_that_is_set_back_everything_goes_on_where_it_was() {
    let mut wrong = Wrong::new().await;
    let (number, code) = wrong.world.number_with_code().await;
    let (other, its_code) = wrong.world.number_with_code().await;
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(incorrect(&other, 1));
    for hours in [5, 500, 400_000] {
        wrong.clock.by(-hours * HOUR);
        wrong.world = wrong.world.restart_after_kill().await;
        let said = warnings(&wrong.world.server);
        assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("is behind"), "{said:?}");
        wrong.is_locked_for(30).await;
    }
    wrong.world.verify(&number, &code).await.expects(verified(&number));
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(locked(&other, 30));
}

#[tokio::test]
async fn after_a_stop_and_a_reboot_with_a_clock_that_is_behind_lockouts_go_on_where_they_were() {
    let mut wrong = Wrong::new().await;
    for reboot in 2..4 {
        wrong.clock.by(-100 * HOUR);
        wrong.clock.reboot(reboot);
        (wrong.world, _) = wrong.world.restart().await;
        assert_eq!(warnings(&wrong.world.server).len(), 1);
        wrong.is_locked_for(30).await;
    }
}

#[tokio::test]
async fn after_a_power_cut_and_a_reboot_a_lockout_is_longer_by_a_minute_at_most() {
    let mut wrong = Wrong::new().await;
    wrong.clock.by(-100 * HOUR);
    wrong.clock.reboot(2);
    wrong.world = wrong.world.restart_after_kill().await;
    let answer = wrong.world.send(&wrong.locked).await.json();
    let minutes = answer["data"]["ttl"].as_u64().expect("minutes");
    assert!((30..=31).contains(&minutes), "{answer}");
}

#[tokio::test]
async fn after_a_clock_that_was_set_forwards_lockouts_end_earlier_by_as_much_and_no_more() {
    let mut wrong = Wrong::new().await;
    wrong.clock.by(10 * 60);
    wrong.world = wrong.world.restart_after_kill().await;
    let said = warnings(&wrong.world.server);
    assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("set forwards"), "{said:?}");
    wrong.is_locked_for(20).await;
    wrong.clock.by(31 * 60);
    wrong.world = wrong.world.restart_after_kill().await;
    wrong.world.send(&wrong.locked).await.expects(sent(&wrong.locked, 2));
}

#[tokio::test]
async fn when_a_clock_that_was_ahead_is_put_right_nothing_is_locked_for_longer() {
    let mut wrong = Wrong::new().await;
    // Linux lets nobody set a clock beyond the year 2232.
    for ahead in [9 * HOUR, 200 * YEAR] {
        wrong.clock.by(ahead);
        (wrong.world, _) = wrong.world.restart().await;
        wrong.locked = lock_out(&wrong.world).await;
        let (number, code) = wrong.world.number_with_code().await;
        wrong.clock.by(0);
        wrong.clock.reboot(2);
        (wrong.world, _) = wrong.world.restart().await;
        wrong.is_locked_for(30).await;
        wrong.world.verify(&number, &code).await.expects(verified(&number));
    }
    // What the warning says may be done.
    let file = wrong.world.setup.data_dir().join("clock");
    let said = warnings(&wrong.world.server);
    assert_eq!(said[0]["file"].as_str(), file.to_str(), "{said:?}");
    let (setup, server) = (wrong.world.setup.clone(), wrong.world.server);
    server.signal(rustix::process::Signal::TERM);
    server.ended().await;
    fs::remove_file(&file).expect("remove the file");
    let server = setup.start().await;
    let said = warnings(&server);
    assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("shortened"), "{said:?}");
    let world = crate::support::World { server, ..wrong.world };
    world.send(&wrong.locked).await.expects(locked(&wrong.locked, 30));
    let (world, _) = world.restart().await;
    assert!(warnings(&world.server).is_empty(), "time is in step again");
    world.send(&wrong.locked).await.expects(locked(&wrong.locked, 30));
}

#[tokio::test]
async fn a_clock_at_its_beginning_neither_unlocks_nor_locks_for_ever() {
    let mut wrong = Wrong::new().await;
    // As of a machine without a battery.
    for shift in [-56 * YEAR, -55 * YEAR] {
        wrong.clock.by(shift);
        wrong.world = wrong.world.restart_after_kill().await;
        wrong.is_locked_for(30).await;
        lock_out(&wrong.world).await;
    }
    wrong.clock.by(31 * 60);
    (wrong.world, _) = wrong.world.restart().await;
    wrong.world.send(&wrong.locked).await.expects(sent(&wrong.locked, 2));
}

#[tokio::test]
async fn when_the_mark_is_damaged_the_start_goes_on_and_says_so() {
    let mut wrong = Wrong::new().await;
    let file = wrong.world.setup.data_dir().join("clock");
    fs::write(&file, "what is this").expect("damage the file");
    wrong.clock.by(-5 * HOUR);
    wrong.world = wrong.world.restart_after_kill().await;
    let said = warnings(&wrong.world.server);
    assert!(said.len() == 2, "{said:?}");
    wrong.is_locked_for(30).await;
    wrong.world = wrong.world.restart_after_kill().await;
    wrong.is_locked_for(30).await;
}

#[tokio::test]
async fn a_start_that_is_killed_before_it_marks_a_time_that_is_ahead_removes_nothing() {
    for has_mark in [true, false] {
        let mut wrong = Wrong::new().await;
        // So many segments are left then that a start carries out a round before anything else.
        for _ in 0..3 {
            wrong.world = wrong.world.restart_after_kill().await;
            wrong.world.number_with_code().await;
        }
        let down = wrong.ended_by(Signal::KILL).await;
        if !has_mark {
            fs::remove_file(down.setup.data_dir().join("clock")).expect("remove the mark");
        }
        down.clock.by(2 * HOUR);
        down.clock.kills_before_the_mark(true);
        let killed = down.setup.run().await;
        assert!(killed.output.contains("a snapshot round has ended"), "{}", killed.output);
        down.clock.kills_before_the_mark(false);
        down.clock.by(0);
        down.start().await.is_locked_for(30).await;
    }
}
