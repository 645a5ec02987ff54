//! The limit on the numbers that are remembered.

use std::sync::Arc;
use std::time::Duration;

use super::actors::{self, ask};
use super::world::{World, accepted, number};
use crate::config::Bounds;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::shard::room::{Occupancy, Room};
use crate::shard::table::{Entry, Table};
use crate::shard::{CheckAnswer, Refusal, SendAnswer};
use crate::store::Revision;

const NOW: u64 = 1_700_000_000_000;

#[test]
fn a_new_number_beyond_the_limit_is_refused_without_a_commit_and_known_ones_are_served() {
    let (mut world, room) = limited(2);
    let code = world.has_code(number(1));
    world.has_code(number(2));

    let refused = world.sends(number(3));
    assert_eq!(refused.answer(), Err(Refusal::TooManyNumbers));
    assert!(world.wants_no_commit());
    assert_eq!(room.occupancy(), Occupancy { held: 2, limit: 2 });

    let again = world.sends(number(2));
    world.commits();
    let dispatch = world.dispatched();
    world.settles(dispatch, accepted());
    assert!(matches!(again.answer(), Ok(SendAnswer::Sent { .. })));
    let wrong = world.checks_wrong(number(1));
    world.commits();
    assert_eq!(wrong.answer(), Ok(actors::wrong(4)));
    let right = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(right.answer(), Ok(CheckAnswer::Approved));

    // The verified number has left its place.
    world.has_code(number(3));
    assert_eq!(world.sends(number(1)).answer(), Err(Refusal::TooManyNumbers));
}

#[test]
fn a_locked_number_is_told_so_when_all_room_is_taken() {
    let room = Room::new(1);
    let mut table = Table::within(Arc::clone(&room));
    let until = Timestamp::from_millis(NOW + 60_000);
    table.set(number(1), Entry { state: NumberState::Locked { until }, revision: Revision(1) });
    let mut world = World::owning(table);
    assert!(matches!(world.sends(number(1)).answer(), Ok(SendAnswer::Locked { .. })));
    assert_eq!(world.sends(number(2)).answer(), Err(Refusal::TooManyNumbers));
    assert!(matches!(world.sends(number(1)).answer(), Ok(SendAnswer::Locked { .. })));
}

#[test]
fn checks_of_new_numbers_take_no_room() {
    let (mut world, room) = limited(1);
    for n in 0..10 {
        let answer = world.checks_wrong(number(n)).answer();
        assert_eq!(answer, Ok(CheckAnswer::Wrong { attempts_left: 5, live: false }));
    }
    assert_eq!(room.occupancy().held, 0);
}

#[test]
fn the_new_numbers_of_one_batch_are_counted_before_they_are_written() {
    let (mut world, room) = limited(3);
    let first = world.sends(number(0));
    // These wait for the commit of the first one.
    let mut waiting: Vec<_> = (1..=5).map(|n| world.sends(number(n))).collect();
    let twice = world.sends(number(1));
    world.commits();
    assert_eq!(world.commits().len(), 2);
    assert_eq!(room.occupancy().held, 3);
    let refused = waiting.split_off(2);
    for answer in refused {
        assert_eq!(answer.answer(), Err(Refusal::TooManyNumbers));
    }
    for dispatch in world.core.take_dispatches() {
        world.settles(dispatch, accepted());
    }
    for answer in [first, twice].into_iter().chain(waiting) {
        assert!(matches!(answer.answer(), Ok(SendAnswer::Sent { .. })));
    }
}

#[test]
fn while_a_commit_is_under_way_a_new_number_without_room_is_refused_at_once() {
    let (mut world, _room) = limited(1);
    world.has_code(number(1));
    let mut slow = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    assert_eq!(world.sends(number(2)).answer(), Err(Refusal::TooManyNumbers));
    assert!(slow.is_unanswered());
    world.applied(&writes);
    assert_eq!(slow.answer(), Ok(actors::wrong(4)));
}

#[test]
fn a_failed_commit_keeps_its_numbers_and_counts_each_once() {
    let (mut world, room) = limited(2);
    for n in 0..5 {
        let answer = world.sends(number(n));
        if n < 2 {
            world.fails_to_commit();
            assert_eq!(answer.answer(), Err(Refusal::StoreUnavailable));
        } else {
            // The disk may have the first two, so memory has to.
            assert_eq!(answer.answer(), Err(Refusal::TooManyNumbers));
        }
    }
    assert_eq!((room.occupancy().held, world.core.numbers()), (2, 2));
}

#[test]
fn numbers_whose_records_have_ended_make_room_before_anybody_is_refused() {
    let (mut world, room) = limited(50);
    for n in 0..50 {
        world.has_code(number(n));
    }
    assert_eq!(world.sends(number(50)).answer(), Err(Refusal::TooManyNumbers));
    world.now = world.now.plus(Duration::from_secs(30 + 1800));
    for n in 50..100 {
        world.has_code(number(n));
    }
    assert_eq!((room.occupancy().held, world.core.numbers()), (50, 50));
    assert_eq!(world.sends(number(100)).answer(), Err(Refusal::TooManyNumbers));
}

#[test]
fn a_number_that_comes_back_after_its_record_ended_is_a_new_one_and_counted_once() {
    let (mut world, room) = limited(1);
    world.has_code(number(1));
    world.now = world.now.plus(Duration::from_secs(30 + 1800));
    let again = world.sends(number(1));
    // The sweep passes while it is being written.
    let now = world.now;
    world.core.sweep(100, now);
    world.commits();
    let dispatch = world.dispatched();
    world.settles(dispatch, accepted());
    assert!(matches!(again.answer(), Ok(SendAnswer::Sent { .. })));
    assert_eq!(room.occupancy().held, 1);
}

#[test]
fn more_numbers_than_the_limit_are_loaded_and_none_is_dropped() {
    let room = Room::new(2);
    let mut table = Table::within(Arc::clone(&room));
    let until = Timestamp::from_millis(NOW + 60_000);
    for n in 0..5 {
        table.set(number(n), Entry { state: NumberState::Locked { until }, revision: Revision(1) });
    }
    let mut world = World::owning(table);
    for n in 0..5 {
        assert!(matches!(world.sends(number(n)).answer(), Ok(SendAnswer::Locked { .. })));
    }
    assert_eq!(world.sends(number(5)).answer(), Err(Refusal::TooManyNumbers));
    assert_eq!(room.occupancy(), Occupancy { held: 5, limit: 2 });
    drop(world);
    assert_eq!(room.occupancy().held, 0, "a shard that ends gives its places back");
}

#[tokio::test]
async fn the_limit_holds_over_all_shards_together() {
    let bounds = Bounds { numbers: 10, ..Bounds::default() };
    let world = actors::World::with_shards(4, bounds).await;
    let mut refused = 0;
    for n in 0..40 {
        match ask(world.verifier.clone(), n).await {
            Ok(SendAnswer::Sent { .. }) => {}
            Err(Refusal::TooManyNumbers) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 30);
    assert_eq!(world.verifier.occupancy(), Occupancy { held: 10, limit: 10 });
}

/// A shard that may remember so many numbers.
fn limited(numbers: usize) -> (World, Arc<Room>) {
    let room = Room::new(numbers);
    (World::owning(Table::within(Arc::clone(&room))), room)
}
