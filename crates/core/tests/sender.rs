//! The order of gateways by results, over a world of people who enter codes or get none. Each row of the table in
//! `docs/internals/sender.md` is measured with twenty seeds.
//!
//! `cargo test --release -p onceward-core --test sender -- --nocapture` prints the rows, with `SEEDS=1000` with so many.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test may fail, and prints its table")]
#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::time::Duration;

use onceward_core::domain::{Channel, GatewayName, PhoneNumber, Region, ServiceId, Timestamp};
use onceward_core::results::{Key, Lane, Results};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// From 1 on.
const SEEDS: u64 = 20;
const LIFE: Duration = Duration::from_secs(600);
/// The default of `price-weight`.
const PRICE_WEIGHT: f64 = 0.25;
const GATEWAYS: [GatewayName; 3] = [GatewayName::Http, GatewayName::Mada, GatewayName::Sinch];
const MINUTES: u64 = 60;
/// A message in two minutes from midnight on: noon comes after 360.
const EVERY: Duration = Duration::from_secs(2 * MINUTES);
const UNTIL_NOON: usize = 360;
const COUNTRIES: [&str; 10] = ["AT", "BE", "CH", "DK", "FI", "IE", "IS", "LU", "NO", "PT"];

#[test]
fn after_200_messages_the_best_of_three_gets_four_of_five() {
    hold("messages 201 to 360 that the gateway of 0.90 gets", 80.0..=100.0, |seed| {
        let sent = World::new(seed).sends(&WORST_FIRST, &EQUAL, UNTIL_NOON);
        share_of(2, &sent[200..])
    });
}

#[test]
fn within_60_messages_of_its_fall_it_gets_less_than_a_third() {
    hold("messages 61 to 120 after noon that it still gets at 0.20", 0.0..=30.0, |seed| {
        let mut world = World::new(seed);
        world.sends(&WORST_FIRST, &EQUAL, UNTIL_NOON);
        let sent = world.sends(&[0.2, 0.7, 0.2], &EQUAL, 120);
        share_of(2, &sent[60..])
    });
}

#[test]
fn a_gateway_that_accepts_and_delivers_nothing_gets_its_least_share() {
    hold("messages 31 to 1,030 that a gateway of 0 gets", 0.0..=4.0, |seed| {
        let sent = World::new(seed).sends(&[0.0, 0.9, 0.9], &EQUAL, 1_030);
        share_of(0, &sent[30..])
    });
}

#[test]
fn of_equal_gateways_the_cheaper_one_gets_three_of_four() {
    for conversion in [0.9, 0.7] {
        let row = format!("messages 201 to 1,200 that the cheaper one of {conversion:.2} gets");
        hold(&row, 75.0..=100.0, |seed| {
            let sent = World::new(seed).sends(&[conversion; 2], &[PRICE_WEIGHT, PRICE_WEIGHT / 2.0], 1_200);
            share_of(1, &sent[200..])
        });
    }
}

#[test]
fn small_countries_lose_little_against_an_order_that_was_right() {
    hold("points of conversion below the best first in the worst of ten countries", 0.0..=5.0, |seed| {
        let (mut world, best_first) = (World::new(seed), [0.9, 0.7, 0.2]);
        let mut lost = [0.0; COUNTRIES.len()];
        let messages = 60 * 5 * COUNTRIES.len();
        for message in 0..messages {
            let country = message % COUNTRIES.len();
            world.now = world.now.plus(Duration::from_secs(86_400 / 50));
            let place = world.send(Region::parse(COUNTRIES[country]), &best_first, &EQUAL);
            lost[country] += best_first[0] - best_first[place];
        }
        lost.into_iter().fold(0.0, f64::max) * 100.0 / 300.0
    });
}

#[test]
fn a_gateway_that_stays_as_it_is_never_falls() {
    hold("false falls at 60 messages a minute for an hour, then at two", 0.0..=0.0, |seed| {
        let mut world = World::new(seed);
        for (every, messages) in [(1, 3_600), (30, 120)] {
            world.every = Duration::from_secs(every);
            world.sends(&[0.9, 0.8], &EQUAL[..2], messages);
        }
        world.falls as f64
    });
}

/// Three gateways, the worst first.
const WORST_FIRST: [f64; 3] = [0.2, 0.7, 0.9];
const EQUAL: [f64; 3] = [PRICE_WEIGHT; 3];

/// Measures a row with each seed, and compares it with the document.
fn hold(row: &str, bounds: std::ops::RangeInclusive<f64>, measure: impl Fn(u64) -> f64) {
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let mut measured: Vec<f64> = (1..=seeds).map(measure).collect();
    let held = measured.iter().filter(|figure| bounds.contains(figure)).count();
    measured.sort_by(f64::total_cmp);
    let (is_least, median) = (*bounds.start() > 0.0, measured[measured.len() / 2]);
    let (words, bound, worst) = if is_least {
        ("at least", bounds.start(), measured[0])
    } else {
        ("at most", bounds.end(), measured[measured.len() - 1])
    };
    let line = format!("| {row} | {words} {bound:.0} | {median:.1}, {worst:.1} |");
    println!("{line} {held} of {seeds}");
    if seeds == SEEDS {
        assert_eq!(held, measured.len(), "{line}");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/internals/sender.md");
        let document = std::fs::read_to_string(path).expect("sender.md");
        assert!(document.contains(&line), "docs/internals/sender.md lacks {line}");
    }
}

fn share_of(place: usize, sent: &[usize]) -> f64 {
    sent.iter().filter(|sent| **sent == place).count() as f64 * 100.0 / sent.len() as f64
}

struct World {
    results: Results,
    rng: StdRng,
    now: Timestamp,
    /// Between two messages.
    every: Duration,
    falls: usize,
    /// Codes that will be entered, and when.
    entered: Vec<(Timestamp, Key, PhoneNumber)>,
    sent: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            results: Results::default(),
            rng: StdRng::seed_from_u64(seed),
            now: Timestamp::from_millis(1_700_000_000_000),
            every: EVERY,
            falls: 0,
            entered: Vec::new(),
            sent: 0,
        }
    }

    fn sends(&mut self, conversions: &[f64], costs: &[f64], messages: usize) -> Vec<usize> {
        let one = |_| {
            self.now = self.now.plus(self.every);
            self.send(None, conversions, costs)
        };
        (0..messages).map(one).collect()
    }

    /// Sends a message by the first gateway of the order, and returns its place.
    fn send(&mut self, country: Option<Region>, conversions: &[f64], costs: &[f64]) -> usize {
        let (service, channel, now) = (Some(ServiceId::DEFAULT), Channel::Sms, self.now);
        let lane = Lane { service, country, channel };
        self.entered.sort_unstable_by_key(|entered| entered.0);
        let due = self.entered.partition_point(|entered| entered.0 <= now);
        for (_, key, number) in self.entered.drain(..due) {
            self.results.verified(key, number);
        }
        self.falls += self.results.expire(now).len();
        let offers: Vec<_> = std::iter::zip(GATEWAYS, costs.iter().copied()).collect();
        let random = self.rng.next_u64();
        let first = self.results.rates.order(lane, &offers, random, now)[0];
        self.sent += 1;
        let number = PhoneNumber::from_u64(14_155_550_000 + self.sent).expect("a number");
        self.results.sent((lane, first), number, now.plus(LIFE), false);
        let place = GATEWAYS.iter().position(|gateway| *gateway == first).expect("an offer");
        if self.rng.random::<f64>() < conversions[place] {
            let took = Duration::from_secs_f64(10.0 + 20.0 * self.rng.random::<f64>());
            self.entered.push((now.plus(took), (lane, first), number));
        }
        place
    }
}
