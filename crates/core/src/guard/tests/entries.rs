//! Manual entries.

use super::*;

#[test]
fn the_narrower_manual_entry_wins_until_it_ends() {
    let mut world = World::new();
    world.send_while(|n| TJ + n);
    let (prefix, until) = (Key::new(None, Dimension::Prefix(TJ / 10_000)), world.now.plus(HOUR));
    world.set(prefix, Some(EntryAction::Allow), until);
    assert_eq!(world.send(TJ + 2), Ok(()));
    world.set(country("TJ"), Some(EntryAction::Block), until);
    assert_eq!(world.send(TJ + 50_000), Err(Rule::Entry));
    assert_eq!(world.refused_until(TJ + 50_000), until);
    assert_eq!(world.send(TJ + 3), Ok(()));
    world.now = until;
    assert_eq!(world.send(TJ + 50_000), Ok(()));
}

#[test]
fn announced_messages_pass_and_leave_nothing_behind() {
    let mut world = World::new();
    assert_eq!(world.send_while(elsewhere), (30, Rule::Country));
    let until = world.now.plus(DAY);
    world.set(country("TJ"), Some(EntryAction::Expect(500)), until);
    let again = |n: u64| elsewhere(1_000 + n);
    assert_eq!(world.send_while(again), (500, Rule::Country), "also beyond those of countries without users");
    world.now = until;
    assert_eq!(world.send_while(|n| elsewhere(3_000 + n)), (21, Rule::Country));
}

#[test]
fn announced_messages_that_were_not_sent_are_announced_again() {
    let mut world = World::new();
    assert_eq!(world.send_while(elsewhere), (30, Rule::Country));
    world.set(country("TJ"), Some(EntryAction::Expect(60)), world.now.plus(DAY));
    let figures = |world: &World| [country("TJ").dimension, Dimension::Unproven].map(|of| world.figures(of));
    let (before, again) = (figures(&world), |n: u64| elsewhere(1_000 + n));
    assert_eq!(world.send_while(again), (60, Rule::Country));
    (0..60).for_each(|n| world.give_back(again(n)));
    let entry = world.guard.entry(&country("TJ"), world.now).expect("an entry");
    assert_eq!((entry.action, figures(&world)), (EntryAction::Expect(60), before));
}

#[test]
fn announced_messages_are_used_once_also_after_quiet_days() {
    let mut world = World::new();
    world.set(country("TJ"), Some(EntryAction::Expect(500)), world.now.plus(30 * DAY));
    assert_eq!(world.send_while(elsewhere), (530, Rule::Country));
    world.pass(3 * DAY);
    while !world.guard.take_changed(1_000).is_empty() {}
    world.guard.rows.sweep(10_000, world.now);
    assert_eq!(world.guard.rows.held(), 0);
    assert_eq!(world.send_while(|n| elsewhere(1_000 + n)), (30, Rule::Country));
}

#[test]
fn messages_announced_for_all_services_are_of_all_together() {
    let mut world = World::new();
    world.set(country("TJ"), Some(EntryAction::Expect(100)), world.now.plus(DAY));
    let mut sent = 0;
    for service in [3, 4] {
        let of = |n| Signals { service: ServiceId::new(service), ..World::signals(elsewhere(n)) };
        sent += (0..200).take_while(|n| world.assess(&of(*n)) == Ok(())).count();
    }
    assert_eq!(sent, 30 + 30 + 100);
}

#[test]
fn an_entry_that_was_not_stored_is_reset() {
    let mut world = World::new();
    let (before, now) = (Entry { action: EntryAction::Block, until: world.now.plus(DAY) }, world.now);
    world.set(country("TJ"), Some(before.action), before.until);
    for known in [Some(before), None] {
        world.set(country("TJ"), Some(EntryAction::Allow), now.plus(HOUR));
        world.guard.reset_entry(country("TJ"), known);
        assert_eq!(world.guard.entry(&country("TJ"), now), known);
        assert_eq!(world.guard.take_changed(10).len(), 1, "what may be stored is written again");
    }
}

#[test]
fn to_allow_a_number_ends_its_refusals() {
    let mut world = World::new();
    world.send_while(|_| TJ);
    let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number(TJ)));
    world.set(key, Some(EntryAction::Allow), world.now.plus(HOUR));
    assert_eq!(world.guard.refusals(ServiceId::DEFAULT, number(TJ)), None);
    assert_eq!(world.send(TJ), Ok(()));
}

#[test]
fn an_entry_that_is_replaced_or_removed_needs_no_room() {
    let mut world = World::new();
    let (until, now) = (world.now.plus(HOUR), world.now);
    let mut set = |n, action| world.guard.set_entry(Key::new(None, Dimension::Prefix(n)), action, until, now);
    for n in 0..10_000 {
        assert!(set(n, Some(EntryAction::Allow)).is_ok());
    }
    assert_eq!(set(10_000, Some(EntryAction::Allow)), Err(TooManyEntries(10_000)));
    assert!(set(7, Some(EntryAction::Block)).is_ok(), "it replaces its entry");
    let removed = set(7, None).expect("an entry");
    assert_eq!(removed.map(|entry| entry.until), Some(now));
    assert_eq!(set(7, None), Ok(None));
    assert!(set(10_000, Some(EntryAction::Allow)).is_ok());
}

#[test]
fn ten_services_cannot_fill_the_manual_entries_of_all() {
    let mut world = World::new();
    let mut most = |service, most: u32| {
        let (until, now) = (world.now.plus(HOUR), world.now);
        (0..most)
            .take_while(|n| {
                let key = Key::new(service, Dimension::Prefix(u64::from(*n)));
                world.guard.set_entry(key, Some(EntryAction::Block), until, now).is_ok()
            })
            .count()
    };
    let service = |n| Some(ServiceId::new(n));
    assert_eq!(most(service(0), 3_000), 2_000, "a fifth");
    for n in 1..10 {
        most(service(n), 3_000);
    }
    assert!(most(service(10), 3_000) > 200);
    assert_eq!(most(None, 3_000), 3_000, "those for all services have a bound of their own");
}

#[test]
fn allowing_a_number_in_all_services_ends_its_refusals_in_each() {
    let mut world = World::new();
    (world.rules.prefix, world.rules.country, world.rules.unproven) = (1_000, 1_000, 1_000);
    let elsewhere = Signals { service: ServiceId::new(7), ..World::signals(TJ) };
    assert_eq!(world.send_while(|_| TJ), (20, Rule::Number));
    (0..20).for_each(|_| world.assess(&elsewhere).expect("sent"));
    let key = Key::new(None, Dimension::Number(number(TJ)));
    world.set(key, Some(EntryAction::Allow), world.now.plus(HOUR));
    world.set(key, None, world.now);
    assert_eq!((world.send(TJ), world.assess(&elsewhere)), (Ok(()), Ok(())));
}

#[test]
fn a_number_is_forgotten_with_its_manual_entry() {
    let mut world = World::new();
    world.send_while(|_| TJ);
    let (service, now) = (Some(ServiceId::DEFAULT), world.now);
    let key = Key::new(service, Dimension::Number(number(TJ)));
    world.set(key, Some(EntryAction::Block), now.plus(HOUR));
    assert!(world.guard.forget(service, number(TJ), now));
    assert_eq!(
        (world.guard.entry(&key, now), world.guard.unlock(ServiceId::DEFAULT, number(TJ))),
        (None, false)
    );
    assert!(!world.guard.forget(service, number(TJ), now));
    assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 0, "its part in allowances stays");
}

impl World {
    pub(super) fn set(&mut self, key: Key, action: Option<EntryAction>, until: Timestamp) {
        self.guard.set_entry(key, action, until, self.now).expect("room");
    }
}
