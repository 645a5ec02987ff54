//! A code whose life a further send prolongs, and numbers that are decided in one batch, a sentence each.

use std::time::Duration;

use super::world::{World, number};
use crate::numbers::NumberKey;
use crate::shard::Id;

#[test]
fn a_message_that_leaves_late_says_how_long_its_code_is_good_by_then() {
    let mut world = World::new();
    let _first = world.sends(number(1));
    let writes = world.takes_commit();
    let _second = world.sends(number(1));
    world.now = world.now.plus(Duration::from_secs(5));
    let _third = world.sends(number(1));
    world.applied(&writes);
    let first = world.dispatched();
    world.now = world.now.plus(Duration::from_secs(2));
    let _fourth = world.sends(number(1));
    world.commits();
    let sends = world.take_dispatches();
    assert_eq!(sends.len(), 2);
    assert!(sends.iter().all(|send| send.permit.salt == first.permit.salt));
    assert!(sends.iter().all(|send| send.permit.expires == sends[1].permit.expires));
    world.commits();
    assert!(world.dispatched().permit.expires > sends[1].permit.expires);
}

#[test]
fn a_failed_commit_prolongs_no_code() {
    let mut world = World::new();
    let _answer = world.sends(number(1));
    world.commits();
    let salt = world.dispatched().permit.salt;
    world.now = world.now.plus(Duration::from_secs(5));
    let _again = world.sends(number(1));
    world.fails_to_commit();
    let now = world.now;
    assert!(world.is_usable(number(1), &salt, now.plus(Duration::from_secs(24))));
    assert!(!world.is_usable(number(1), &salt, now.plus(Duration::from_secs(25))));
}

#[test]
fn numbers_are_written_in_the_order_in_which_they_came() {
    let mut world = World::new();
    let _first = world.sends(number(99));
    let writes = world.takes_commit();
    let _answers: Vec<_> = (1..=20).rev().map(|n| world.sends(number(n))).collect();
    world.applied(&writes);
    let digits = |id: &Id| NumberKey::from_id(id).expect("a number").number.as_u64() % 100;
    let written: Vec<_> = world.takes_commit().iter().map(|write| digits(&write.key.id)).collect();
    assert_eq!(written, (1..=20).rev().collect::<Vec<_>>());
}
