//! When a refused message passes, and levels over time.

use super::*;
use crate::budget::Period;

#[test]
fn a_clock_that_was_set_back_changes_nothing() {
    let mut world = World::new();
    world.send_while(|n| TJ + n);
    (0..7).for_each(|n| world.verify(TJ + n));
    world.now = Timestamp::from_millis(world.now.as_millis() - 86_400_000);
    assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 3);
    assert_eq!(world.send_while(|n| TJ + 100 + n), (3, Rule::Prefix));
}

#[test]
fn a_known_number_passes_again_at_midnight() {
    let mut world = World::new();
    world.send(TJ).expect("sent");
    world.verify(TJ);
    world.pass(22 * HOUR);
    world.send_while(|n| TJ + 1 + n);
    (0..4).for_each(|_| assert_eq!(world.send(TJ), Ok(())));
    let until = world.until(&World::signals(TJ));
    assert_eq!(until, Period::Day.end(Period::Day.index(world.now)));
    world.now = Timestamp::from_millis(until.as_millis() - 1_000);
    assert_eq!(world.send(TJ), Err(Rule::Prefix));
    world.now = until;
    assert_eq!(world.send(TJ), Ok(()));
}

proptest! {
    /// A refused message passes when its refusal says, and hardly earlier, if nothing else happens. The usual numbers decay
    /// in the meantime, which may let it pass earlier by a thousandth of the wait.
    #[test]
    fn a_refusal_ends_when_it_says(
        steps in prop::collection::vec((0_u64..40, 0_u64..4, any::<bool>(), 0_u64..2_000), 1..120),
    ) {
        let mut world = World::new();
        for (n, address, is_verified, seconds) in steps {
            world.pass(Duration::from_secs(seconds));
            let (to, address) = (TJ + n % 10 + 10_000 * (n / 10), format!("192.0.2.{address}"));
            if world.send_from(to, &address) == Ok(()) {
                if is_verified {
                    world.verify(to);
                }
                continue;
            }
            let until = world.until(&World::signals_from(to, &address));
            let at = |millis| World { now: Timestamp::from_millis(millis), ..world.clone() };
            prop_assert_eq!(at(until.as_millis()).send_from(to, &address), Ok(()));
            let early = 1_000 + until.as_millis().saturating_sub(world.now.as_millis()) / 1_000;
            prop_assert!(at(until.as_millis() - early).send_from(to, &address).is_err());
        }
    }

    /// The explanation of a number is what the next request from its last client gets.
    #[test]
    fn an_explanation_foretells_the_decision(
        steps in prop::collection::vec((0_u64..40, 0_u64..4, any::<bool>(), 0_u64..2_000), 1..120),
        entry in 0_usize..3,
    ) {
        let mut world = World::new();
        if let Some(action) = [None, Some(EntryAction::Allow), Some(EntryAction::Block)][entry] {
            world.set(country("TJ"), action, HOUR);
        }
        for (n, address, is_verified, seconds) in steps {
            world.pass(Duration::from_secs(seconds));
            let (to, address) = (TJ + n % 10 + 10_000 * (n / 10), format!("192.0.2.{address}"));
            let first = world.send_from(to, &address);
            if first == Ok(()) && is_verified {
                world.verify(to);
            }
            let (number, known) = (number(to), world.known.get(&number(to)).copied());
            // An explanation assumes the client of the last message.
            if first.is_err() || world.guard.number(ServiceId::DEFAULT, number).is_none() {
                continue;
            }
            let explained = world.explain(to);
            let mut next = world.clone();
            let signals = World::signals_from(to, &address);
            let decided = next.guard.assess(&signals, &next.rules, known, next.now);
            prop_assert_eq!(explained.assessment.verdict, decided.verdict);
            prop_assert_eq!(explained.assessment.findings, decided.findings);
        }
    }
}
