//! The clock is set while the program runs.

use super::{HOUR, Wrong, YEAR, warnings};
use serde_json::Value;

use crate::support::documented::verified;
use crate::support::soon;

#[tokio::test]
async fn while_it_runs_a_clock_that_is_set_changes_nothing() {
    let wrong = Wrong::new().await;
    let (number, code) = wrong.world.number_with_code().await;
    for shift in [5 * HOUR, -5 * HOUR, 300 * YEAR, -50 * YEAR] {
        wrong.clock.by(shift);
        wrong.is_locked_for(30).await;
    }
    wrong.world.verify(&number, &code).await.expects(verified(&number));
    assert_eq!(warnings(&wrong.world.server), [] as [Value; 0]);
}

#[tokio::test]
async fn the_clock_that_the_program_sees_is_the_one_that_is_set() {
    // What all of these tests rest on.
    let wrong = Wrong::new().await;
    wrong.clock.by(100 * YEAR);
    wrong.world.number_with_code().await;
    let year =
        |event: &Value| event["timestamp"].as_str().and_then(|time| time.get(..4)?.parse::<u32>().ok());
    let events = wrong.world.server.output().events();
    let before = events.first().and_then(year).expect("a year");
    let later =
        wrong.world.server.output().event(|event| year(event).is_some_and(|year| year >= before + 99));
    soon("a line of another century", later).await.expect("the program runs");
}
