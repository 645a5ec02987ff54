//! Budgets.

use super::*;

proptest! {
    /// The process crashes at random: the share is lost, the stored state is not.
    #[test]
    fn a_budget_is_never_overspent(
        limit in 0_u64..3_000,
        steps in prop::collection::vec((0_u64..50, 0_u64..600_000, prop::bool::weighted(0.05)), 1..400),
    ) {
        let budget = Budget { limit, period: Period::Hour };
        let (mut state, mut share, mut now) = (BudgetState::default(), None::<Share>, 7_200_000);
        let mut spent = std::collections::BTreeMap::<u32, u64>::new();
        for (amount, later, crashes) in steps {
            now += later;
            let at = Timestamp::from_millis(now);
            if crashes {
                share = None;
            }
            if share.as_mut().is_none_or(|share| share.take(amount, at).is_none()) {
                match budget.draw(state, amount, at) {
                    Ok((drawn, mut fresh)) => {
                        prop_assert!(fresh.take(amount, at).is_some());
                        (state, share) = (drawn, Some(fresh));
                    }
                    Err(until) => {
                        prop_assert_eq!(until, Period::Hour.end(Period::Hour.index(at)));
                        continue;
                    }
                }
            }
            *spent.entry(Period::Hour.index(at)).or_default() += amount;
        }
        prop_assert!(spent.values().all(|spent| *spent <= limit), "{:?}", spent);
    }
}

#[test]
fn recorded_traffic_is_judged_by_the_numbers_that_were_verified_in_it() {
    let begin = Timestamp::from_millis(20_000 * 86_400_000);
    let message = |at: Timestamp, to: u64, is_verified: bool| replay::Recorded {
        at,
        service: ServiceId::DEFAULT,
        number: number(to),
        channel: Channel::Sms,
        price: 50_000,
        verified_at: is_verified.then(|| at.plus(Duration::from_secs(30))),
    };
    let mut messages = Vec::new();
    for n in 0..3 * 100 {
        messages.push(message(begin.plus(DAY / 100 * n), DE + 10_001 * u64::from(n), n % 5 > 0));
    }
    messages.extend((0..200).map(|n| message(begin.plus(2 * DAY + MINUTE * n), TJ + u64::from(n), false)));
    // In any order, as `onceward tracker` lists the newest first.
    messages.reverse();
    let outcome = |tolerance| {
        let rules = GuardRules { tolerance, ..GuardRules::default() };
        replay::replay(&messages, &rules, 1)
    };
    let usual = outcome(1);
    assert_eq!((usual.sent + usual.refused, usual.honest_users, usual.honest_refused), (500, 240, 0));
    assert_eq!(usual.refused, 200 - 11);
    assert_eq!(
        (usual.cost, usual.saved),
        (u64::from(usual.sent) * 50_000, u64::from(usual.refused) * 50_000)
    );
    let off = GuardRules { mode: Mode::Off, ..GuardRules::default() };
    assert_eq!(replay::replay(&messages, &off, 1).refused, 0);
}
