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
    let mut restored = Guard::new(MOST_ALLOWANCES, 2);
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
    let places = |guard: &Guard| guard.rows.page(Some(ServiceId::DEFAULT), (0, 0), usize::MAX).0.len();
    assert_eq!(places(&restored), places(&world.guard));
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
    world.guard = Guard::new(500, 1);
    // One prefix is used up, and has the oldest allowance.
    assert_eq!(world.send_while(|n| TJ + n), (10, Rule::Prefix));
    for n in 1..2_000 {
        world.pass(MINUTE);
        let to = DE + 10_000 * (n % 1_000) + n;
        world.send_from(to, &fresh(n)).expect("sent");
        world.verify(to);
        assert!(world.guard.rows.held() <= 500);
        if n == 120 {
            assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 0);
        }
    }
    assert!(world.guard.rows.dropped > 1_000);
    let germany = world.figures(country("DE").dimension);
    assert!(germany.usual > 100, "{germany:?}");
}

#[test]
fn a_full_table_drops_rows_of_the_service_with_the_most() {
    let mut world = World::new();
    world.guard = Guard::new(1_000, 1);
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
    assert!(world.guard.rows.dropped > 3_000);
    for service in 1..=30 {
        let rows = world.guard.rows.page(Some(ServiceId::new(service)), (0, 0), 100).0.len();
        assert_eq!(rows, 3 * 3 + 2, "service {service}");
    }
}

#[test]
fn refused_requests_push_out_no_number_with_messages() {
    let mut world = World::new();
    world.guard = Guard::new(500, 1);
    world.send(TJ).expect("sent");
    world.verify(TJ);
    world.pass(DAY);
    for _ in 0..10 {
        world.send(TJ).expect("needs no allowance");
        world.verify(TJ);
    }
    for n in 0..2_000 {
        let special = Signals { number_type: NumberType::Special, ..World::signals(US + n) };
        assert_eq!(world.assess(&special), Err(Rule::NumberType));
    }
    assert_eq!((world.guard.rows.held(), world.guard.rows.dropped), (250, 0), "half of the table");
    // Places and numbers with messages take the places of refused ones.
    let rules = GuardRules { country: 1_000, unproven: 1_000, ..GuardRules::default() };
    let rules = std::mem::replace(&mut world.rules, rules);
    (0..200).for_each(|n| world.send(elsewhere(n)).expect("sent"));
    world.rules = rules;
    assert_eq!((world.guard.rows.held(), world.guard.rows.dropped), (500, 150));
    let further = (0..100).take_while(|_| world.send(TJ) == Ok(()) && (world.verify(TJ), true).1).count();
    assert_eq!(further, 8, "its ten of the day are used");
}

#[test]
fn a_small_service_pushes_out_no_users_of_a_large_one() {
    let mut world = World::with_users();
    let honest = world.guard.rows.held();
    let mut full = Guard::new(honest, 1);
    for row in world.guard.take_changed(usize::MAX).into_iter().filter_map(|(_, row)| row) {
        full.restore(row);
    }
    world.guard = full;
    world.rules = GuardRules { country: 100_000, unproven: 100_000, ..GuardRules::default() };
    for n in 0..3_000 {
        let (service, address) = (ServiceId::new(99), Some(net(&fresh(n))));
        let signals = Signals { service, address, ..World::signals(elsewhere(n)) };
        assert_eq!(world.assess(&signals), Ok(()));
        assert!(world.guard.rows.held() <= honest);
    }
    let (rows, _) = world.guard.rows.page(Some(ServiceId::DEFAULT), (0, 0), usize::MAX);
    // The first rows of the new service take places, and none later.
    assert!(rows.len() + 1_000 >= honest, "{} of {honest}", rows.len());
    let germany = world.figures(country("DE").dimension);
    assert!(germany.usual > 30, "{germany:?}");
}

#[test]
fn a_record_that_was_not_stored_is_taken_again() {
    let mut world = World::new();
    world.send(TJ).expect("sent");
    world.send(DE).expect("sent");
    assert!(world.guard.unlock(ServiceId::DEFAULT, number(DE)));
    world.set(country("GB"), Some(EntryAction::Block), world.now.plus(DAY));
    let rows = |world: &mut World| {
        let mut taken = world.guard.take_changed(100);
        taken.sort_by_key(|(name, _)| *name);
        taken
    };
    let first = rows(&mut world);
    assert!(rows(&mut world).is_empty());
    for _ in 0..2 {
        for (name, _) in &first {
            world.guard.mark_changed(*name);
        }
    }
    let again = rows(&mut world);
    let names = |rows: &[(RowName, Option<GuardRow>)]| -> Vec<_> {
        rows.iter().map(|(name, row)| (*name, row.is_some())).collect()
    };
    assert!(names(&again).iter().any(|(_, is_kept)| !is_kept));
    let mut unique = names(&again);
    unique.dedup();
    assert_eq!(unique, names(&first));
}

#[test]
fn while_nothing_is_stored_the_changes_are_bounded() {
    let mut world = World::new();
    world.guard = Guard::new(500, 1);
    world.rules = GuardRules { country: 100_000, unproven: 100_000, ..GuardRules::default() };
    for n in 0..5_000 {
        // Some places come back.
        assert_eq!(world.send_from(elsewhere(n), &fresh(n % 700)), Ok(()));
        if n % 500 == 0 {
            for (name, _) in world.guard.take_changed(64) {
                world.guard.mark_changed(name);
            }
        }
    }
    let changed = world.guard.take_changed(usize::MAX);
    assert!(changed.len() <= 2 * 500, "{}", changed.len());
    let names: std::collections::BTreeSet<_> =
        changed.iter().filter(|(_, row)| row.is_some()).map(|(name, _)| *name).collect();
    assert_eq!(names.len(), world.guard.rows.held(), "each row is there");
}

#[test]
fn allowances_of_ten_thousand_services_are_read_in_pages() {
    let mut world = World::new();
    for service in 0..10_000 {
        let of =
            Signals { service: ServiceId::new(service), ..World::signals(elsewhere(u64::from(service))) };
        assert_eq!(world.assess(&of), Ok(()));
    }
    let (mut found, mut next) = (std::collections::BTreeSet::new(), Some((0, 0)));
    while let Some(start) = next {
        let page;
        (page, next) = world.guard.rows.page(None, start, 2);
        assert!(page.len() <= 2);
        found.extend(page.into_iter().map(|(service, dimension, _)| (service, dimension)));
    }
    assert_eq!((found.len(), world.guard.rows.held()), (30_000, 40_000));
}

#[test]
fn a_sweep_looks_at_no_more_rows_than_it_is_told() {
    let mut world = World::new();
    for service in 0..100 {
        world.assess(&Signals { service: ServiceId::new(service), ..World::signals(TJ) }).expect("sent");
    }
    while !world.guard.take_changed(100).is_empty() {}
    let later = world.now.plus(2 * DAY);
    world.guard.rows.sweep(50, later);
    assert!(world.guard.rows.held() >= 250, "{:?}", world.guard.rows.held());
    (0..20).for_each(|_| world.guard.rows.sweep(50, later));
    assert_eq!((world.guard.rows.held(), world.guard.rows.services().count()), (0, 0));
}

#[test]
fn rows_that_say_nothing_are_swept() {
    let mut world = World::new();
    world.send_from(TJ, "192.0.2.7").expect("sent");
    while !world.guard.take_changed(100).is_empty() {}
    world.guard.rows.sweep(100, world.now.plus(DAY));
    assert_eq!(world.guard.rows.held(), 6);
    world.guard.rows.sweep(100, world.now.plus(2 * DAY));
    assert_eq!(world.guard.rows.held(), 0);
}

#[test]
fn what_a_place_usually_verifies_outlives_its_level() {
    let mut world = World::with_users();
    while !world.guard.take_changed(1_000).is_empty() {}
    world.pass(10 * DAY);
    world.guard.rows.sweep(10_000, world.now);
    let germany = world.figures(country("DE").dimension);
    assert!(germany.usual > 5, "{germany:?}");
}
