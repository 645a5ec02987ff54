//! Manual entries.

use super::*;

#[test]
fn the_narrower_manual_entry_wins_until_it_ends() {
    let mut world = World::new();
    world.send_while(|n| TJ + n);
    let (prefix, until) = (Key::new(None, Dimension::Prefix(TJ / 10_000)), world.now.plus(HOUR));
    world.set(prefix, EntryAction::Allow, HOUR);
    assert_eq!(world.send(TJ + 2), Ok(()));
    world.set(country("TJ"), EntryAction::Block, HOUR);
    assert_eq!(world.send(TJ + 50_000), Err(Rule::Entry));
    assert_eq!(world.refused_until(TJ + 50_000), until);
    assert_eq!(world.send(TJ + 3), Ok(()));
    world.now = until;
    assert_eq!(world.send(TJ + 50_000), Ok(()));
}

#[test]
fn to_allow_a_number_ends_its_refusals() {
    let mut world = World::new();
    world.send_while(|_| TJ);
    let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number(TJ)));
    world.set(key, EntryAction::Allow, HOUR);
    assert_eq!(world.refusals(TJ), None);
    assert_eq!(world.send(TJ), Ok(()));
}

#[test]
fn an_entry_that_is_replaced_needs_no_room() {
    let mut world = World::new();
    let key = |n| Key::new(None, Dimension::Prefix(n));
    for n in 0..10_000 {
        assert_eq!(world.guard.entries.make_room(&key(n), world.now), Ok(()));
        world.set(key(n), EntryAction::Allow, HOUR);
    }
    let mut has_room = |n, now| world.guard.entries.make_room(&key(n), now);
    assert_eq!(has_room(10_000, world.now), Err(TooManyEntries(10_000)));
    assert_eq!(has_room(7, world.now), Ok(()), "it replaces its entry");
    assert_eq!(has_room(10_000, world.now.plus(HOUR)), Ok(()), "the others have ended");
}

#[test]
fn a_service_has_at_most_half_of_the_manual_entries() {
    let mut world = World::new();
    let mut most = |service| {
        let sets = |n: &u64| {
            let key = Key::new(service, Dimension::Prefix(*n));
            let has_room = world.guard.entries.make_room(&key, world.now).is_ok();
            if has_room {
                world.set(key, EntryAction::Block, HOUR);
            }
            has_room
        };
        (0..7_000).take_while(sets).count()
    };
    assert_eq!(most(Some(ServiceId::new(1))), 5_000);
    assert_eq!(most(None), 7_000, "those for all services have a bound of their own");
}

#[test]
fn allowing_a_number_in_all_services_ends_its_refusals_in_each() {
    let mut world = World::new();
    world.rules = roomy();
    let elsewhere = Signals { service: ServiceId::new(7), ..World::signals(TJ) };
    assert_eq!(world.send_while(|_| TJ), (20, Rule::Number));
    (0..20).for_each(|_| world.assess(&elsewhere).expect("sent"));
    let key = Key::new(None, Dimension::Number(number(TJ)));
    world.set(key, EntryAction::Allow, HOUR);
    world.guard.set_entry(key, None);
    assert_eq!((world.send(TJ), world.assess(&elsewhere)), (Ok(()), Ok(())));
}
