//! What came of messages, by service, country, channel and gateway, and the order of gateways that follows from it.
//!
//! A message ends when its code can be entered no more. The order is drawn: each gateway from the Beta
//! distribution of its conversion (Thompson sampling), less what its price counts. Therefore a gateway of which little is
//! known is tried, and one that is known to be worse is not.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::domain::{Channel, GatewayName, PhoneNumber, Region, ServiceId, Timestamp};

/// The mean life of a message in the figures: 7 days.
const DECAY_SECONDS: f64 = 7.0 * 86_400.0;

/// Messages of which the present conversion is a mean: after as many a change is seen.
const RECENT: f64 = 40.0;

/// What a gateway's messages to other countries are worth, in messages, where it has sent few.
const BORROWED: f64 = 20.0;

/// The least share of a gateway, for that one which recovers is seen.
const LEAST_SHARE: f64 = 0.02;

/// Messages from which on a fall of the conversion is told.
const TOLD_FROM: f64 = 30.0;

/// Draws for a share that is shown.
const DRAWS: u8 = 200;

/// Figures that are kept, and messages of one gateway in one country that have not ended.
const MOST: usize = 16_384;

/// What gateways are compared in. A country implies its calling code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// `None` for all services and countries.
    pub service: Option<ServiceId>,
    /// `None` for numbers of no country.
    pub country: Option<Region>,
    /// The channel.
    pub channel: Channel,
}

impl Lane {
    /// The same channel in all services and countries.
    const fn whole(self) -> Self {
        Self { service: None, country: None, channel: self.channel }
    }
}

/// A gateway in a lane.
pub type Key = (Lane, GatewayName);

/// A gateway that may send a message, and the conversion that its price takes away from it.
pub type Offer = (GatewayName, f64);

/// Messages that ended, and those of them whose code was entered.
pub type Ended = [f64; 2];

/// The share of messages whose code was entered; 0 without messages.
pub fn conversion([messages, verified]: Ended) -> f64 {
    if messages > 0.0 { verified / messages } else { 0.0 }
}

/// For shares and means.
#[expect(clippy::cast_precision_loss, reason = "neither counts nor prices are above 2^53")]
pub const fn float(count: u64) -> f64 {
    count as f64
}

/// The results of a gateway.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    at: Timestamp,
    /// With the decay of 7 days.
    pub long: Ended,
    /// The last of them, from which the order is drawn.
    pub recent: Ended,
    has_fallen: bool,
}

impl Rate {
    fn at(self, now: Timestamp) -> Self {
        let left = (-now.since(self.at).as_secs_f64() / DECAY_SECONDS).exp();
        let [long, recent] = [self.long, self.recent].map(|ended| ended.map(|count| count * left));
        Self { at: self.at.max(now), long, recent, ..self }
    }

    fn add(&mut self, ended: Ended, now: Timestamp) {
        let then = self.at(now);
        let [long, recent] = [then.long, then.recent].map(|of| [of[0] + ended[0], of[1] + ended[1]]);
        let kept = (RECENT / recent[0]).min(1.0);
        *self = Self { long, recent: recent.map(|count| count * kept), ..then };
    }

    /// The conversion before, if it was twice as high and that is not told yet.
    fn fall(&mut self) -> Option<f64> {
        let before = [self.long[0] - self.recent[0], self.long[1] - self.recent[1]];
        let (was, is) = (conversion(before), conversion(self.recent));
        let is_known = self.recent[0].min(before[0]) >= TOLD_FROM;
        let falls = is_known && is < was / 2.0 && !self.has_fallen;
        // One that hovers about the half is told once.
        self.has_fallen = falls || self.has_fallen && is < was * 0.75;
        falls.then_some(was)
    }
}

/// A gateway's conversion in a country is less than half of what it was.
#[derive(Debug, Clone, Copy)]
pub struct Fall {
    /// Where.
    pub of: Key,
    /// The recipient of the message that ended last.
    pub number: PhoneNumber,
    /// The conversion before, and now.
    pub from_to: [f64; 2],
}

/// The results of all gateways.
#[derive(Debug, Clone, Default)]
pub struct Rates(HashMap<Key, Rate>);

impl Rates {
    /// The results of a gateway; empty if there are none.
    pub fn of(&self, key: Key, now: Timestamp) -> Rate {
        self.0.get(&key).copied().unwrap_or_default().at(now)
    }

    fn add(&mut self, (lane, gateway): Key, ended: Ended, now: Timestamp) -> Option<&mut Rate> {
        self.0.entry((lane.whole(), gateway)).or_default().add(ended, now);
        if self.0.len() >= MOST && !self.0.contains_key(&(lane, gateway)) {
            return None;
        }
        let rate = self.0.entry((lane, gateway)).or_default();
        rate.add(ended, now);
        Some(rate)
    }

    /// The parameters of the Beta distribution of a gateway's conversion: its last messages, and as many of other countries
    /// as these are worth.
    fn belief(&self, (lane, gateway): Key, now: Timestamp) -> [f64; 2] {
        let (own, all) = (self.of((lane, gateway), now), self.of((lane.whole(), gateway), now));
        let others = 1.0 - (own.long[0] / all.long[0].max(f64::MIN_POSITIVE)).min(1.0);
        let borrowed = all.recent[0].min(BORROWED) * others;
        let verified = own.recent[1] + borrowed * conversion(all.recent);
        [1.0 + verified, 1.0 + own.recent[0] + borrowed - verified]
    }

    /// The conversion that is expected of a gateway.
    pub fn expected(&self, key: Key, now: Timestamp) -> f64 {
        let [verified, others] = self.belief(key, now);
        verified / (verified + others)
    }

    /// The gateways in the order that these random bits draw.
    pub fn order(&self, lane: Lane, offers: &[Offer], random: u64, now: Timestamp) -> Vec<GatewayName> {
        let mut dice = Dice(random);
        let draw =
            |(gateway, costs): &Offer| (dice.beta(self.belief((lane, *gateway), now)) - costs, *gateway);
        let mut drawn: Vec<_> = offers.iter().map(draw).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 50")]
        let tried = offers.get((dice.unit() / LEAST_SHARE) as usize).map(|(gateway, _)| *gateway);
        drawn.sort_by(|a, b| (Some(b.1) == tried).cmp(&(Some(a.1) == tried)).then(b.0.total_cmp(&a.0)));
        drawn.into_iter().map(|(_, gateway)| gateway).collect()
    }

    /// The share of messages that each gateway would get.
    pub fn shares(&self, lane: Lane, offers: &[Offer], now: Timestamp) -> Vec<f64> {
        let first = |draw: u8| self.order(lane, offers, draw.into(), now).first().copied();
        let firsts: Vec<_> = (0..DRAWS).map(first).collect();
        let each = 1.0 / f64::from(DRAWS);
        let share = |name| firsts.iter().filter(|first| **first == Some(name)).map(|_| each).sum();
        offers.iter().map(|(gateway, _)| share(*gateway)).collect()
    }
}

/// Learns what comes of messages.
#[derive(Debug, Default)]
pub struct Results {
    /// What is known.
    pub rates: Rates,
    /// Messages that have not ended, the next one to end first, and whether their code was entered.
    pending: BTreeMap<Key, VecDeque<(Timestamp, PhoneNumber, bool)>>,
}

impl Results {
    /// Messages that ended before a start.
    pub fn restore(&mut self, key: Key, ended: Ended, at: Timestamp) {
        self.rates.add(key, ended, at);
    }

    /// A message has left, or may have. Its code can be entered until `ends`.
    pub fn sent(&mut self, key: Key, number: PhoneNumber, ends: Timestamp) {
        let pending = self.pending.entry(key).or_default();
        // Of too many the oldest is not known.
        if pending.len() >= MOST {
            pending.pop_front();
        }
        pending.push_back((ends, number, false));
    }

    /// The code of a message was entered: it counts when it ends, like the others, or a young one would count for more.
    /// Which of the messages that have not ended that was makes no difference.
    pub fn verified(&mut self, key: Key) {
        let pending = self.pending.get_mut(&key).into_iter().flatten();
        if let Some((.., is_verified)) = pending.rev().find(|(.., is_verified)| !is_verified) {
            *is_verified = true;
        }
    }

    /// Ends the messages whose time is over. Returns the gateways that have fallen by them.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Fall> {
        let (mut falls, rates) = (Vec::new(), &mut self.rates);
        self.pending.retain(|key, pending| {
            while let Some((ends, number, is_verified)) = pending.front().copied().filter(|of| of.0 <= now) {
                pending.pop_front();
                let ended = [1.0, f64::from(u8::from(is_verified))];
                let Some(rate) = rates.add(*key, ended, ends) else { continue };
                let fall = rate.fall().map(|was| [was, conversion(rate.recent)]);
                falls.extend(fall.map(|from_to| Fall { of: *key, number, from_to }));
            }
            !pending.is_empty()
        });
        if rates.0.len() >= MOST {
            // What has decayed to less than a tenth of a message says nothing.
            rates.0.retain(|_, rate| rate.at(now).long[0] >= 0.1);
        }
        falls
    }
}

/// Random numbers: `SplitMix64` by Sebastiano Vigna.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// Above 0 and below 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let whole = ((mixed ^ (mixed >> 31)) >> 12) as f64;
        (whole + 0.5) / 4_503_599_627_370_496.0
    }

    /// Of the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let length = (-2.0 * self.unit().ln()).sqrt();
        length * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Of the gamma distribution with a shape of at least 1 (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    fn beta(&mut self, [a, b]: [f64; 2]) -> f64 {
        let (a, b) = (self.gamma(a), self.gamma(b));
        a / (a + b)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LANE: Lane = Lane { service: Some(ServiceId::DEFAULT), country: None, channel: Channel::Sms };
    const A: GatewayName = GatewayName::Mada;
    const B: GatewayName = GatewayName::Sinch;
    const EQUAL: [Offer; 2] = [(A, 0.25), (B, 0.25)];

    fn days(days: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(days * 86_400))
    }

    fn number(last: u64) -> PhoneNumber {
        PhoneNumber::from_u64(14_155_550_000 + last).expect("a number")
    }

    fn is_near(a: f64, b: f64, most: f64) -> bool {
        (a - b).abs() <= most
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_their_distribution() {
        for [a, b] in [[1.0, 1.0], [1.0, 9.0], [36.0, 4.0], [60.0, 60.0]] {
            let (mut dice, count) = (Dice(7), 20_000_u32);
            let drawn: Vec<f64> = (0..count).map(|_| dice.beta([a, b])).collect();
            let mean = drawn.iter().sum::<f64>() / f64::from(count);
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count);
            let expected = a * b / ((a + b).powi(2) * (a + b + 1.0));
            assert!(is_near(mean, a / (a + b), 0.005), "{a} {b}: mean {mean}");
            assert!(is_near(variance, expected, expected / 20.0), "{a} {b}: variance {variance}");
        }
    }

    #[test]
    fn what_is_known_decays_over_seven_days_and_the_last_messages_replace_older_ones() {
        let mut rates = Rates::default();
        rates.add((LANE, A), [1_000.0, 900.0], NOW);
        let rate = rates.of((LANE, A), days(7));
        assert!(is_near(rate.long[0], 1_000.0 / std::f64::consts::E, 0.001));
        assert!(is_near(rates.of((LANE, A), NOW).recent[0], RECENT, 1e-9));
        for _ in 0..40 {
            rates.add((LANE, A), [1.0, 0.0], NOW);
        }
        let rate = rates.of((LANE, A), NOW);
        assert!(is_near(conversion(rate.recent), 0.9 * (RECENT / (RECENT + 1.0)).powi(40), 0.001));
        assert!(is_near(conversion(rate.long), 900.0 / 1_040.0, 1e-9));
    }

    #[test]
    fn a_country_with_few_messages_borrows_up_to_twenty_of_the_others() {
        let mut rates = Rates::default();
        let here = Lane { country: Region::parse("IS"), ..LANE };
        let believes = |rates: &Rates, lane, [verified, others]: [f64; 2]| {
            let belief = rates.belief((lane, A), NOW);
            assert!(is_near(belief[0], verified, 1e-9) && is_near(belief[1], others, 1e-9), "{belief:?}");
        };
        believes(&rates, here, [1.0, 1.0]);
        rates.add((LANE, A), [10.0, 9.0], NOW);
        believes(&rates, here, [10.0, 2.0]);
        rates.add((LANE, A), [990.0, 891.0], NOW);
        believes(&rates, here, [1.0 + 0.9 * BORROWED, 1.0 + 0.1 * BORROWED]);
        // All of it is its own.
        believes(&rates, LANE, [1.0 + 0.9 * RECENT, 1.0 + 0.1 * RECENT]);
    }

    #[test]
    fn every_gateway_has_its_least_share_and_equal_ones_share_equally() {
        let mut rates = Rates::default();
        let first = |rates: &Rates, offers: &[Offer]| {
            let is_first = |draw: &u64| rates.order(LANE, offers, *draw, NOW)[0] == A;
            (0..10_000).filter(is_first).count()
        };
        assert!((4_700..5_300).contains(&first(&rates, &EQUAL)));
        rates.add((LANE, A), [1_000.0, 0.0], NOW);
        rates.add((LANE, B), [1_000.0, 900.0], NOW);
        let least = first(&rates, &EQUAL);
        assert!((150..250).contains(&least), "{least}");
        let shares = rates.shares(LANE, &EQUAL, NOW);
        assert!(shares[0] < 0.05 && is_near(shares.iter().sum(), 1.0, 1e-9), "{shares:?}");
        assert_eq!(rates.order(LANE, &EQUAL, 1, NOW), rates.order(LANE, &EQUAL, 1, NOW));
        assert_eq!(rates.order(LANE, &EQUAL[..1], 1, NOW), [A]);
    }

    #[test]
    fn a_message_counts_once_when_its_code_ends() {
        let mut results = Results::default();
        let life = Duration::from_secs(600);
        for last in 0..3 {
            results.sent((LANE, A), number(last), NOW.plus(life));
        }
        results.verified((LANE, A));
        // Of a message that is not known, such as one of before a start.
        results.verified((LANE, B));
        let counts = |results: &Results| {
            let [messages, verified] = results.rates.of((LANE, A), NOW).long;
            format!("{verified:.0} of {messages:.0}")
        };
        assert!(results.expire(NOW).is_empty());
        assert_eq!(counts(&results), "0 of 0");
        assert!(results.expire(NOW.plus(life)).is_empty());
        assert_eq!(counts(&results), "1 of 3");
        assert_eq!(results.rates.of((LANE, B), NOW).long[0].to_bits(), 0);
        assert!(results.pending.is_empty());
    }

    #[test]
    fn a_fall_to_less_than_half_is_told_once() {
        let mut results = Results::default();
        results.restore((LANE, A), [200.0, 180.0], NOW);
        let mut falls = Vec::new();
        for message in 0..120 {
            results.sent((LANE, A), number(message), NOW);
            falls.extend(results.expire(NOW).into_iter().map(|fall| (message, fall)));
        }
        let [(message, fall)] = falls[..] else { panic!("{falls:?}") };
        assert!((25..35).contains(&message), "{message}");
        assert_eq!(fall.number, number(message));
        assert!(is_near(fall.from_to[0], 0.9, 0.1) && fall.from_to[1] < fall.from_to[0] / 2.0, "{fall:?}");
        // Too little is known of a new gateway.
        results.restore((LANE, B), [29.0, 29.0], NOW);
        (0..29).for_each(|last| results.sent((LANE, B), number(last), NOW));
        assert!(results.expire(NOW).is_empty());
    }
}
