//! Exact counts of messages and money, in windows: budgets, and values of rate limits.
//!
//! All are in memory. The guard writes the changed ones each second; a start takes the charges again that are only in the
//! tickets of messages.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use onceward_core::guard::Rows;
pub use onceward_core::guard::{Charged, Count, CountId};

use crate::domain::Timestamp;
use crate::shard::{Capacity, service_of};

/// How long a window lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// An hour or a day of UTC.
    Hour,
    Day,
    /// So long from its first charge on.
    FromFirst(Duration),
}

impl Window {
    const fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
            Self::FromFirst(length) => length,
        }
    }

    /// One that begins now.
    fn begin(self, now: Timestamp) -> Count {
        let past = match self {
            Self::Hour => now.as_millis() % 3_600_000,
            Self::Day => now.as_millis() % 86_400_000,
            Self::FromFirst(_) => 0,
        };
        let since = now.minus(Duration::from_millis(past));
        Count { since, ends: since.plus(self.length()), amount: 0, told: [None; 2], written: 0 }
    }
}

/// What is to be charged to a count, and the most that its window may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub id: CountId,
    pub amount: u64,
    pub most: u64,
    pub window: Window,
}

/// A charge that does not fit: its count, and when the window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub id: CountId,
    pub until: Timestamp,
}

/// Rows that are looked at before a new one is refused: some 10 us.
const SWEEP_BEFORE_REFUSAL: usize = 256;

/// A sweep looks at this part of all rows.
const SWEPT: usize = 64;

pub struct Counts {
    pub rows: Rows<CountId, Count>,
    capacity: Arc<Capacity>,
}

impl Counts {
    /// `seed` is secret: it decides which ids collide.
    pub fn new(capacity: Arc<Capacity>, seed: u64) -> Self {
        Self { rows: Rows::new(seed), capacity }
    }

    /// The present window of a charge.
    fn window(&self, Charge { id, window, .. }: &Charge, now: Timestamp) -> Count {
        // A window that was made shorter has ended early. A clock that was set back stays in the later one.
        let live = |row: &&Count| now < row.ends.min(row.since.plus(window.length()));
        self.rows.get(id).filter(live).copied().unwrap_or_else(|| window.begin(now))
    }

    /// What was charged in the present window.
    pub fn spent(&self, charge: &Charge, now: Timestamp) -> u64 {
        self.window(charge, now).amount
    }

    /// The charges as they would count, if all fit; else the one whose window ends last.
    pub fn fit(&self, charges: &[Charge], now: Timestamp) -> Result<Vec<Charged>, Full> {
        let (mut fitting, mut full) = (Vec::with_capacity(charges.len()), None::<Full>);
        for charge in charges {
            let Count { since, ends, amount, .. } = self.window(charge, now);
            if amount.saturating_add(charge.amount) > charge.most {
                let until = ends.min(since.plus(charge.window.length()));
                full = full.filter(|full| until <= full.until).or(Some(Full { id: charge.id, until }));
            }
            fitting.push(Charged { id: charge.id, since, ends, amount: charge.amount });
        }
        full.map_or(Ok(fitting), Err)
    }

    /// Whether there is room for the counts of these charges, perhaps in place of some whose windows have ended.
    pub fn have_room(&mut self, charges: &[Charge], now: Timestamp) -> bool {
        let fit = |counts: &Self| {
            let mut new = charges.iter().filter(|charge| counts.rows.get(&charge.id).is_none());
            new.all(|charge| counts.capacity.has_room(service_of(&charge.id)))
        };
        if !fit(self) {
            self.sweep(SWEEP_BEFORE_REFUSAL, now);
        }
        fit(self)
    }

    /// Whether the operator was told of this limit in the present window.
    pub fn told(&self, charge: &Charge, which: usize, now: Timestamp) -> bool {
        self.window(charge, now).told[which] == Some(charge.most)
    }

    /// The operator is told. Returns whether it is new.
    pub fn tell(&mut self, charge: &Charge, which: usize, now: Timestamp) -> bool {
        let mut row = self.window(charge, now);
        let is_new = row.told[which].replace(charge.most) != Some(charge.most);
        self.set(charge.id, row);
        is_new
    }

    pub fn take(&mut self, counted: &[Charged]) {
        for &Charged { id, since, ends, amount } in counted {
            let row = self.rows.get(&id).copied().filter(|row| row.since == since);
            let row = row.unwrap_or(Count { since, ends, amount: 0, told: [None; 2], written: 0 });
            self.set(id, Count { amount: row.amount.saturating_add(amount), ..row });
        }
    }

    pub fn give_back(&mut self, counted: &[Charged]) {
        for &Charged { id, since, amount, .. } in counted {
            let Some(row) = self.rows.get(&id).copied().filter(|row| row.since == since) else { continue };
            let row = Count { amount: row.amount.saturating_sub(amount), ..row };
            if row.amount > 0 || row.told != [None; 2] {
                self.set(id, row);
            } else if self.rows.remove(id) {
                self.forget(&id);
            }
        }
    }

    /// Before the first message: takes again what a message of this second took, if the rows lack it. `written` is the
    /// second up to which all rows are.
    pub fn again(&mut self, counted: &[Charged], at: u32, written: u32) {
        for charged in counted {
            let row = self.rows.get(&charged.id);
            let lacks = |row: &Count| at >= row.written && charged.since >= row.since;
            if at >= written && row.is_none_or(lacks) {
                self.take(&[*charged]);
            }
        }
    }

    pub fn restore(&mut self, id: CountId, row: Count) {
        if self.rows.restore(id, row) {
            self.capacity.count(|held| held.add(service_of(&id), 1));
        }
    }

    fn set(&mut self, id: CountId, row: Count) {
        self.rows.mark_changed(id);
        self.restore(id, row);
    }

    fn forget(&self, id: &CountId) {
        self.capacity.count(|held| held.remove(service_of(id), 1));
    }

    /// Drops those of the next rows whose windows have ended.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) {
        let looks = looks.max(self.rows.held() / SWEPT);
        for id in self.rows.sweep(looks, now) {
            self.forget(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::observe::metrics::ServiceNames;
    use crate::shard::LimitedTable;

    const IDS: [CountId; 2] = [[1; 12], [2; 12]];

    fn counts() -> Counts {
        Counts::new(Capacity::new(LimitedTable::Counters, 10, &ServiceNames::default()), 1)
    }

    fn charge(id: CountId, amount: u64, most: u64) -> Charge {
        Charge { id, amount, most, window: Window::Hour }
    }

    proptest! {
        /// A crash after each charge leaves the rows as they were written last, and the tickets of all messages.
        #[test]
        fn no_count_is_exceeded_also_across_crashes(
            most in 1_u64..60,
            steps in prop::collection::vec((0..2_usize, 0_u64..20, 0_u32..900, 0..4_u8), 1..200),
        ) {
            let (mut counts, mut second, mut written) = (counts(), 7_200_u32, 0_u32);
            let (mut rows, mut tickets) = (BTreeMap::new(), Vec::new());
            let mut spent = BTreeMap::<(CountId, u32), u64>::new();
            for (which, amount, later, event) in steps {
                second += later;
                let (id, now) = (IDS[which], Timestamp::from_millis(u64::from(second) * 1_000));
                let own = spent.entry((id, second / 3_600)).or_default();
                match counts.fit(&[charge(id, amount, most)], now) {
                    Ok(counted) => {
                        counts.take(&counted);
                        if event == 0 {
                            counts.give_back(&counted);
                        } else {
                            tickets.push((second, counted));
                            *own += amount;
                        }
                    }
                    Err(full) => {
                        prop_assert!(*own + amount > most);
                        prop_assert_eq!(full.until.as_millis(), u64::from(second / 3_600 + 1) * 3_600_000);
                    }
                }
                prop_assert_eq!(counts.spent(&charge(id, 0, most), now), *own);
                if event == 1 {
                    second += 1;
                    for (id, row) in counts.rows.take_changed(usize::MAX, second) {
                        rows.insert(id, row);
                    }
                    written = second;
                }
                if event == 2 {
                    counts = self::counts();
                    let kept = rows.iter().filter_map(|(id, row)| Some((*id, (*row)?)));
                    kept.for_each(|(id, row)| counts.restore(id, row));
                    for (at, counted) in &tickets {
                        counts.again(counted, *at, written);
                    }
                    let own = spent[&(id, second / 3_600)];
                    prop_assert_eq!(counts.spent(&charge(id, 0, most), now), own);
                }
            }
        }
    }

    #[test]
    fn the_operator_is_told_of_each_limit_once_in_its_window() {
        let (mut counts, now) = (counts(), Timestamp::from_millis(7_200_000));
        let [low, high] = [5, 9].map(|most| charge(IDS[0], 1, most));
        assert_eq!([(); 2].map(|()| counts.tell(&low, 0, now)), [true, false]);
        assert!(counts.told(&low, 0, now) && !counts.told(&low, 1, now));
        assert!(!counts.told(&high, 0, now) && counts.tell(&high, 0, now));
        assert!(!counts.told(&high, 0, now.plus(Duration::from_secs(3_600))));
    }

    #[test]
    fn a_stream_of_new_values_meets_no_full_table() {
        let mut counts = counts();
        let of = |n: u64| {
            let mut id = IDS[0];
            id[4..].copy_from_slice(&n.to_be_bytes());
            Charge { window: Window::FromFirst(Duration::from_secs(1)), ..charge(id, 1, 1) }
        };
        for second in 0..1_000 {
            let now = Timestamp::from_millis(second * 1_000);
            for n in 0..4 {
                let charges = [of(second * 4 + n)];
                assert!(counts.have_room(&charges, now), "{second}");
                let counted = counts.fit(&charges, now).expect("room");
                counts.take(&counted);
            }
            counts.sweep(1, now);
        }
    }

    #[test]
    fn a_window_begins_with_its_first_charge_and_one_made_shorter_ends_early() {
        let mut counts = counts();
        let at = |seconds: u64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
        let of = |seconds| Charge {
            window: Window::FromFirst(Duration::from_secs(seconds)),
            ..charge(IDS[0], 1, 1)
        };
        let counted = counts.fit(&[of(60)], at(0)).expect("room");
        counts.take(&counted);
        assert_eq!(counts.fit(&[of(60)], at(59)), Err(Full { id: IDS[0], until: at(60) }));
        assert!(counts.fit(&[of(60)], at(60)).is_ok() && counts.fit(&[of(30)], at(30)).is_ok());
        assert_eq!(counts.capacity.usage().held, 1);
        counts.sweep(2, at(60));
        assert_eq!(counts.capacity.usage().held, 0);
    }
}
