//! Records, and tables that are full.

use super::*;

#[test]
fn a_restored_guard_decides_as_the_stored_one() {
    let mut world = World::with_users();
    for n in 0..5 {
        world.send_while(|of| TJ + n * 10_000 + of);
    }
    world.set(country("GB"), EntryAction::Block, DAY);
    world.pass(HOUR);
    world.send(US).expect("sent");
    let mut restored = Guard::new(MOST_ALLOWANCES, 2);
    let entries = world.guard.entries.list(world.now).map(|(key, entry)| GuardRow::Entry(key, entry));
    let mut rows: Vec<_> = entries.collect();
    while world.guard.rows.take_changed(10).into_iter().map(|row| rows.extend(stored(row))).count() > 0 {}
    for row in rows {
        let bytes = postcard::to_extend(&row, Vec::new()).expect("bytes");
        restored.restore(postcard::from_bytes(&bytes).expect("a row"));
    }
    let places = |guard: &Guard| guard.rows.page(0, usize::MAX).count();
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

fn stored(((service, dimension), row): ((ServiceId, Dimension), Option<Row>)) -> Option<GuardRow> {
    Some(GuardRow::Allowance(service, dimension, row?))
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
        Signals { service: ServiceId::new(service), ..World::signals_from(to, &fresh(n)) }
    };
    world.rules = roomy();
    for service in 1..=30 {
        (0..3).for_each(|n| assert_eq!(world.assess(&of(service, n)), Ok(())));
    }
    // Each of their rows is worth less than one of the flood.
    world.pass(MINUTE);
    (0..2_000).for_each(|n| assert_eq!(world.assess(&of(99, n)), Ok(())));
    assert!(world.guard.rows.dropped > 3_000);
    for service in 1..=30 {
        let of = ServiceId::new(service);
        let rows = world.guard.rows.page(0, usize::MAX).filter(|(service, ..)| *service == of).count();
        assert_eq!(rows, 3 * 2 + 2, "service {service}");
    }
}

#[test]
fn refused_requests_push_out_no_number_with_messages() {
    let mut world = World::new();
    world.guard = Guard::new(500, 1);
    world.send(TJ).expect("sent");
    world.verify(TJ);
    world.pass(DAY);
    for _ in 0..39 {
        world.send(TJ).expect("needs no allowance");
        world.verify(TJ);
    }
    for n in 0..2_000 {
        let special = Signals { number_type: NumberType::Special, ..World::signals(US + n) };
        assert_eq!(world.assess(&special), Err(Rule::NumberType));
    }
    assert_eq!((world.guard.rows.held(), world.guard.rows.dropped), (4, 0), "they take no place");
    // Places and numbers with messages take the places of refused ones.
    world.rules = roomy();
    (0..200).for_each(|n| world.send(elsewhere(n)).expect("sent"));
    assert_eq!((world.guard.rows.held(), world.guard.rows.dropped), (404, 0));
    assert_eq!(world.send(TJ), Err(Rule::Number), "its messages of the day are used");
}

#[test]
fn while_nothing_is_stored_the_changes_are_bounded() {
    let mut world = World::new();
    world.guard = Guard::new(500, 1);
    world.rules = roomy();
    for n in 0..5_000 {
        // Some places come back.
        assert_eq!(world.send_from(elsewhere(n), &fresh(n % 700)), Ok(()));
        if n % 500 == 0 {
            for (name, _) in world.guard.rows.take_changed(64) {
                world.guard.rows.mark_changed(name);
            }
        }
    }
    let changed = world.guard.rows.take_changed(usize::MAX);
    assert!(changed.len() <= 2 * 500, "{}", changed.len());
    let names: std::collections::BTreeSet<_> =
        changed.iter().filter(|(_, row)| row.is_some()).map(|(name, _)| *name).collect();
    assert_eq!(names.len(), world.guard.rows.held(), "each row is there");
}

#[test]
fn rows_that_say_nothing_are_swept() {
    let mut world = World::new();
    world.send_from(TJ, "192.0.2.7").expect("sent");
    while !world.guard.rows.take_changed(100).is_empty() {}
    world.guard.rows.sweep(100, world.now.plus(DAY));
    assert_eq!(world.guard.rows.held(), 5);
    world.guard.rows.sweep(100, world.now.plus(2 * DAY));
    assert_eq!(world.guard.rows.held(), 0);
}
