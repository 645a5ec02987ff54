//! The clock changes between a stop and the next start.

use super::{HOUR, Wrong, YEAR, lock_out, warnings};
use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::wrong as wrong_code;

#[tokio::test]
async fn everything_goes_on_after_kills_and_stops_with_clocks_set_back() {
    let mut wrong = Wrong::new().await;
    let (number, code) = wrong.world.number_with_code().await;
    let (other, its_code) = wrong.world.number_with_code().await;
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(incorrect(&other, 1));
    for (hours, is_killed) in [(5, true), (100, false), (200, false), (500, true), (400_000, true)] {
        println!("{hours} hours back, killed: {is_killed}");
        wrong.clock.by(-hours * HOUR);
        wrong.world =
            if is_killed { wrong.world.restart_after_kill().await } else { wrong.world.restart().await.0 };
        let said = warnings(&wrong.world.server);
        assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("clock behind"), "{said:?}");
        wrong.is_locked_for(30).await;
    }
    wrong.world.verify(&number, &code).await.expects(verified(&number));
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(locked(&other, 30));
}

#[tokio::test]
async fn a_clock_set_forwards_ends_lockouts_earlier_by_no_more_than_its_jump() {
    let mut wrong = Wrong::new().await;
    wrong.clock.by(10 * 60);
    wrong.world = wrong.world.restart_after_kill().await;
    wrong.is_locked_for(20).await;
    wrong.clock.by(31 * 60);
    wrong.world = wrong.world.restart_after_kill().await;
    wrong.world.send(&wrong.locked).await.expects(sent(&wrong.locked, 2));
}

#[tokio::test]
async fn when_a_clock_that_was_ahead_is_put_right_nothing_is_locked_for_longer() {
    let mut wrong = Wrong::new().await;
    // Linux refuses to set a clock beyond the year 2232.
    for ahead in [9 * HOUR, 200 * YEAR] {
        wrong.clock.by(ahead);
        (wrong.world, _) = wrong.world.restart().await;
        wrong.locked = lock_out(&wrong.world).await;
        let (number, code) = wrong.world.number_with_code().await;
        wrong.clock.by(0);
        (wrong.world, _) = wrong.world.restart().await;
        wrong.is_locked_for(30).await;
        wrong.world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn a_clock_at_its_beginning_neither_unlocks_nor_locks_for_ever() {
    let mut wrong = Wrong::new().await;
    // A machine without a battery starts like this.
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
