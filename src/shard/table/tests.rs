use std::collections::HashMap;

use proptest::prelude::*;

use super::lines::PIECE;
use super::*;
use crate::domain::{PhoneNumber, ServiceId};
use crate::shard::record::tests::kept_state;

fn key(digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    NumberKey { service: ServiceId::DEFAULT, number }
}

fn locked_until(millis: u64) -> Entry {
    let until = Timestamp::from_millis(millis);
    Entry { state: NumberState::Locked { until }, revision: Revision(1) }
}

#[test]
fn a_sweep_in_small_steps_frees_exactly_what_has_ended() {
    let mut table = Table::default();
    for i in 1..=1000 {
        table.set(key(i), locked_until(if i % 3 == 0 { 5_000 } else { 500 }));
    }
    let now = Timestamp::from_millis(1_000);
    let mut freed = 0;
    for _ in 0..200 {
        freed += table.sweep(10, now, |_| ());
    }
    assert_eq!(freed, 667);
    assert_eq!(table.numbers(), 333);
    assert!((1..=1000).all(|i| (table.entry(&key(i)) == Entry::UNKNOWN) == (i % 3 != 0)));
}

#[test]
fn when_numbers_come_faster_than_a_sweep_walks_the_table_stays_bounded() {
    const NEW: u64 = 5_000;
    const LIVES: u64 = 10;
    let mut table = Table::default();
    let mut most = 0;
    for turn in 0..200 {
        for i in 1..=NEW {
            table.set(key(turn * NEW + i), locked_until(turn + LIVES));
        }
        most = most.max(table.numbers());
        table.sweep(1_000, Timestamp::from_millis(turn), |_| ());
    }
    let live = usize::try_from(NEW * LIVES).unwrap();
    assert!(most < live + live / 2, "{most} numbers are held for {live} that live");
    for _ in 0..200 {
        table.sweep(1_000, Timestamp::from_millis(1_000), |_| ());
    }
    assert_eq!(table.numbers(), 0);
    let (lines, places) = table.entries.capacity();
    assert!(lines <= PIECE, "memory for {lines} is kept");
    assert!(places <= 1024 * 64, "an index of {places} is kept");
}

#[test]
fn a_sweep_names_what_it_freed() {
    let mut table = Table::default();
    table.set(key(1), locked_until(1));
    table.set(key(2), locked_until(99));
    let mut freed = Vec::new();
    table.sweep(10, Timestamp::from_millis(9), |key| freed.push(*key));
    assert_eq!(freed, [key(1)]);
}

#[test]
fn a_fresh_number_takes_no_memory() {
    let mut table = Table::default();
    table.set(key(1), locked_until(1));
    table.set(key(1), Entry { state: NumberState::Fresh, revision: Revision(2) });
    assert_eq!(table.numbers(), 0);
}

#[test]
fn while_numbers_come_there_is_never_memory_for_many_more_than_there_are() {
    let mut table = Table::default();
    for i in 1..=20_000 {
        table.set(key(i), locked_until(i));
        let (lines, _) = table.entries.capacity();
        assert!(lines < table.numbers() + PIECE, "memory for {lines} with {}", table.numbers());
    }
    let (_, places) = table.entries.capacity();
    assert!(places < 20_000 * 4, "an index of {places}");
}

#[test]
fn when_numbers_go_their_memory_goes_with_them() {
    let mut table = Table::default();
    for i in 1..=20_000 {
        table.set(key(i), locked_until(i));
    }
    for i in 1..=20_000 {
        table.forget_ended(&key(i), Timestamp::from_millis(20_000));
        let (lines, _) = table.entries.capacity();
        assert!(lines <= table.numbers() + PIECE * 3 / 2, "memory for {lines} with {}", table.numbers());
    }
    assert_eq!(table.numbers(), 0);
}

/// What can happen to a table.
#[derive(Debug, Clone)]
enum Step {
    Set(NumberKey, NumberState, u64),
    Sweep(usize, Timestamp),
    Forget(NumberKey, Timestamp),
}

fn some_key() -> impl Strategy<Value = NumberKey> {
    // Few, so that the same ones come again and again; and two of one number in different services.
    let number = (1..30_u64).prop_map(|digits| PhoneNumber::from_u64(digits).expect("a number"));
    (0..2_u32, number).prop_map(|(service, number)| NumberKey { service: ServiceId::new(service), number })
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![5 => kept_state(), 1 => Just(NumberState::Fresh)];
    let moment = prop_oneof![0..=1_u64 << 49, Just(u64::MAX)].prop_map(Timestamp::from_millis);
    // A few bits set anywhere are revisions of every size.
    let revision = (any::<u64>(), 0..64_u32).prop_map(|(bits, by)| bits >> by);
    prop_oneof![
        8 => (some_key(), state, revision).prop_map(|(key, state, revision)| Step::Set(key, state, revision)),
        1 => (0..20_usize, moment.clone()).prop_map(|(looks, now)| Step::Sweep(looks, now)),
        1 => (some_key(), moment).prop_map(|(key, now)| Step::Forget(key, now)),
    ]
}

proptest! {
    /// Every state that a record can have, and every revision, whether a line can say it or not.
    #[test]
    fn what_was_set_is_what_is_known_to_the_last_bit(steps in proptest::collection::vec(step(), 1..200)) {
        let room = Room::new(usize::MAX);
        let mut table = Table::within(Arc::clone(&room));
        let mut model: HashMap<NumberKey, Entry> = HashMap::new();
        let is_over = |entry: &Entry, now| entry.state.at(now) == NumberState::Fresh;
        for step in steps {
            match step {
                Step::Set(key, state, revision) => {
                    let entry = Entry { state, revision: Revision(revision) };
                    table.set(key, entry);
                    match state {
                        NumberState::Fresh => drop(model.remove(&key)),
                        _ => drop(model.insert(key, entry)),
                    }
                }
                Step::Sweep(looks, now) => {
                    let mut freed = Vec::new();
                    table.sweep(looks, now, |key| freed.push(*key));
                    for key in freed {
                        prop_assert!(model.remove(&key).is_some_and(|entry| is_over(&entry, now)));
                    }
                }
                Step::Forget(key, now) => {
                    let over = model.get(&key).is_some_and(|entry| is_over(entry, now));
                    prop_assert_eq!(table.forget_ended(&key, now), over);
                    if over {
                        model.remove(&key);
                    }
                }
            }
            prop_assert_eq!(table.numbers(), model.len());
            prop_assert_eq!(room.occupancy().held, model.len());
            for (key, entry) in &model {
                prop_assert_eq!(table.entry(key), *entry);
                prop_assert!(table.holds(key));
            }
        }
        table.sweep(usize::MAX, Timestamp::from_millis(u64::MAX), |_| ());
        prop_assert_eq!(table.numbers(), 0);
        prop_assert_eq!(table.entries.elsewhere(), 0);
    }
}

#[test]
fn what_is_beyond_the_range_of_a_line_is_known_as_exactly() {
    let far = Entry {
        state: NumberState::Locked { until: Timestamp::from_millis(u64::MAX) },
        revision: Revision(1),
    };
    let late = Entry { revision: Revision(u64::MAX), ..locked_until(7) };
    let mut table = Table::default();
    table.set(key(1), far);
    table.set(key(2), late);
    table.set(key(3), locked_until(3));
    assert_eq!(table.entries.elsewhere(), 2);
    assert_eq!([1, 2, 3].map(|i| table.entry(&key(i))), [far, late, locked_until(3)]);
    table.set(key(1), locked_until(1));
    table.set(key(2), Entry { state: NumberState::Fresh, ..late });
    assert_eq!(table.entries.elsewhere(), 0);
    assert_eq!([1, 2].map(|i| table.entry(&key(i))), [locked_until(1), Entry::UNKNOWN]);
}

#[test]
fn with_many_numbers_that_come_and_go_in_waves_nothing_is_lost_or_mixed_up() {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    const NOW: u64 = 1 << 47;
    let mut rng = StdRng::seed_from_u64(11);
    let room = Room::new(usize::MAX);
    let mut table = Table::within(Arc::clone(&room));
    let mut model: HashMap<NumberKey, Entry> = HashMap::new();
    for round in 0..300_000_u64 {
        // Twenty thousand numbers come, most go, and so on: pieces and parts of the index grow and shrink.
        let growing = (round / 50_000) % 2 == 0;
        let key = key(rng.random_range(1..=20_000));
        match rng.random_range(0..20) {
            0..14 if growing => {
                let until = [NOW - 1, NOW + 1, u64::MAX, 0][rng.random_range(0..4)];
                let revision = Revision(rng.random::<u64>() >> rng.random_range(0..64));
                let entry = Entry { revision, ..locked_until(until) };
                table.set(key, entry);
                model.insert(key, entry);
            }
            0..18 => {
                table.set(key, Entry { state: NumberState::Fresh, revision: Revision(round) });
                model.remove(&key);
            }
            18 => {
                let over = model
                    .get(&key)
                    .is_some_and(|e| e.state.at(Timestamp::from_millis(NOW)) == NumberState::Fresh);
                assert_eq!(table.forget_ended(&key, Timestamp::from_millis(NOW)), over);
                if over {
                    model.remove(&key);
                }
            }
            _ => {
                table.sweep(20, Timestamp::from_millis(NOW), |key| assert!(model.remove(key).is_some()));
            }
        }
        assert_eq!(table.entry(&key), model.get(&key).copied().unwrap_or(Entry::UNKNOWN));
        if round % 10_000 == 0 {
            assert_eq!((table.numbers(), room.occupancy().held), (model.len(), model.len()));
            assert!(model.iter().all(|(key, entry)| table.entry(key) == *entry));
        }
    }
    assert!(model.iter().all(|(key, entry)| table.entry(key) == *entry));
}
