//! Records, and tables that are full.

use super::*;

#[test]
fn a_restored_guard_decides_as_the_stored_one() {
    let mut world = World::with_users();
    for n in 0..5 {
        world.send_while(|of| TJ + n * 10_000 + of);
    }
    world
        .guard
        .set_entry(country("GB"), Some(EntryAction::Block), world.now.plus(DAY), world.now)
        .expect("room");
    world.pass(HOUR);
    world.send(US).expect("sent");
    let mut restored = Guard::new(Bounds::default(), 2);
    loop {
        let rows = world.guard.take_changed(10);
        assert!(rows.len() <= 10);
        if rows.is_empty() {
            break;
        }
        for row in rows.into_iter().filter_map(|(_, row)| row) {
            let bytes = postcard::to_allocvec(&row).expect("bytes");
            restored.restore(postcard::from_bytes(&bytes).expect("a row"));
        }
    }
    assert_eq!(restored.len()[0], world.guard.len()[0]);
    let mut copy = World { guard: restored, ..world.clone() };
    let numbers = [TJ, TJ + 1, TJ + 90_000, DE + 1, DE + 10_000, US, 447_400_000_000];
    for to in numbers.into_iter().cycle().take(300) {
        assert_eq!(world.send(to), copy.send(to), "{to}");
        assert_eq!(world.findings, copy.findings);
        world.pass(MINUTE);
        copy.pass(MINUTE);
    }
}

#[test]
fn a_record_that_is_removed_is_stored_as_removed() {
    let mut world = World::new();
    world.send(TJ).expect("sent");
    while !world.guard.take_changed(100).is_empty() {}
    assert!(world.guard.unlock(ServiceId::DEFAULT, number(TJ)));
    assert!(!world.guard.unlock(ServiceId::DEFAULT, number(TJ)));
    let changed = world.guard.take_changed(100);
    assert_eq!(changed.iter().map(|(_, row)| row.is_some()).collect::<Vec<_>>(), [false]);
}

#[test]
fn a_full_table_drops_what_is_full_and_old_first() {
    let mut world = World::new();
    world.guard = Guard::new(Bounds { allowances: 500, ..Bounds::default() }, 1);
    // One prefix is used up, and has the oldest allowance.
    assert_eq!(world.send_while(|n| TJ + n), (10, Rule::Prefix));
    for n in 1..2_000 {
        world.pass(MINUTE);
        let to = DE + 10_000 * (n % 1_000) + n;
        world.send_from(to, &fresh(n)).expect("sent");
        world.verify(to);
        assert!(world.guard.len()[0] <= 500);
        if n == 120 {
            assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 0);
        }
    }
    assert!(world.guard.dropped() > 1_000);
    let germany = world.guard.figures(ServiceId::DEFAULT, country("DE").dimension, &world.rules, world.now).0;
    assert!(germany.usual > 100, "{germany:?}");
}

#[test]
fn a_full_table_drops_rows_of_the_service_with_the_most() {
    let mut world = World::new();
    world.guard = Guard::new(Bounds { allowances: 1_000, ..Bounds::default() }, 1);
    let of = |service, n| {
        let to = DE + 10_000 * n;
        Signals { service: ServiceId::new(service), address: Some(net(&fresh(n))), ..World::signals(to) }
    };
    // More services than are compared at once.
    for service in 1..=30 {
        (0..3).for_each(|n| assert_eq!(world.assess(&of(service, n)), Ok(())));
    }
    world.rules = GuardRules { country: 100_000, unproven: 100_000, ..GuardRules::default() };
    (0..2_000).for_each(|n| assert_eq!(world.assess(&of(99, n)), Ok(())));
    assert!(world.guard.dropped() > 3_000);
    for service in 1..=30 {
        let rows = world.guard.allowances.of(ServiceId::new(service)).count();
        assert_eq!(rows, 3 * 3 + 2, "service {service}");
    }
}

#[test]
fn rows_that_say_nothing_are_swept() {
    let mut world = World::new();
    world.send_from(TJ, "192.0.2.7").expect("sent");
    while !world.guard.take_changed(100).is_empty() {}
    world.guard.sweep(100, world.now.plus(DAY));
    assert_eq!(world.guard.len(), [5, 1]);
    world.guard.sweep(100, world.now.plus(2 * DAY));
    assert_eq!(world.guard.len(), [0, 0]);
}

#[test]
fn what_a_place_usually_verifies_outlives_its_level() {
    let mut world = World::with_users();
    while !world.guard.take_changed(1_000).is_empty() {}
    world.pass(10 * DAY);
    world.guard.sweep(10_000, world.now);
    let germany = world.guard.figures(ServiceId::DEFAULT, country("DE").dimension, &world.rules, world.now).0;
    assert!(germany.usual > 5, "{germany:?}");
}
