//! What came of messages, by service, country, channel and gateway, and the order of gateways that follows from it.
//!
//! A message ends when its code can be entered no more. The order is drawn: each gateway from the Beta
//! distribution of its conversion (Thompson sampling), less what its price counts. Therefore a gateway of which little is
//! known is tried, and one that is known to be worse is not. A change of a conversion is noticed by Page's test (CUSUM):
//! then what was before is forgotten.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Beta, Distribution as _};

use crate::domain::{Channel, GatewayName, PhoneNumber, Region, ServiceId, Timestamp};

/// After which a message counts half: 7 days.
const HALF_LIFE_SECONDS: f64 = 7.0 * 86_400.0;

/// The messages that count most: each further one takes the place of an older one.
const MOST_COUNTED: f64 = 400.0;

/// What a gateway's messages to other countries are worth, in messages, where it has sent few.
const BORROWED: f64 = 20.0;

/// The least share of a gateway: the recovery of one with few codes entered must be noticed.
const LEAST_SHARE: f64 = 0.02;

/// Messages from which on a gateway's conversion is known, and a change of it noticed.
const KNOWN_FROM: f64 = 30.0;

/// A change is noticed when the messages since it began are e^20 times likelier with half as many codes that are entered,
/// or that are not, than without a change: once in some hundred million messages that is wrong.
const CERTAIN: f64 = 20.0;

/// Draws for a share that is shown.
const DRAWS: u8 = 200;

/// Figures that are kept.
const MOST: usize = 16_384;

/// Messages of one gateway in one country that have not ended. Further ones do not count.
const MOST_OPEN: usize = 1_024;

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
    /// With the decay of 7 days, since the last change.
    pub ended: Ended,
    /// That fewer codes are entered than before, and that more are.
    signs: [Sign; 2],
    /// It is no longer like other countries.
    has_changed: bool,
    /// The conversion before a change, until a fall to less than its half is told, or it is nearly reached again.
    was: Option<f64>,
}

/// A change that may have begun.
#[derive(Debug, Clone, Copy, Default)]
struct Sign {
    certainty: f64,
    /// The messages since then.
    since: Ended,
}

impl Rate {
    fn at(self, now: Timestamp) -> Self {
        let left = (-now.since(self.at).as_secs_f64() / HALF_LIFE_SECONDS).exp2();
        Self { at: self.at.max(now), ..self.times(left) }
    }

    fn times(mut self, factor: f64) -> Self {
        let [fall, rise] = &mut self.signs;
        for counts in [&mut self.ended, &mut fall.since, &mut rise.since] {
            *counts = counts.map(|count| count * factor);
        }
        self
    }

    /// Counts a message. If it `detects` a change of the conversion, forgets what was before. Returns the conversion before and now, if it
    /// has fallen to less than half since a change.
    fn add(&mut self, is_verified: bool, now: Timestamp, detects: bool) -> Option<[f64; 2]> {
        *self = self.at(now);
        let with =
            |[messages, verified]: Ended| [messages + 1.0, verified + f64::from(u8::from(is_verified))];
        let (ended, mut is_new) = (self.ended, false);
        self.ended = with(ended);
        for (sign, is_rise) in self.signs.iter_mut().zip([false, true]).filter(|_| detects) {
            let before = [ended[0] - sign.since[0], ended[1] - sign.since[1]];
            let verified = (before[1] + 1.0) / (before[0] + 2.0);
            // Of the kind that becomes more frequent, when the other one becomes half as frequent.
            let share = if is_rise { verified } else { 1.0 - verified };
            let ratio = if is_verified == is_rise { (1.0 + share) / (2.0 * share) } else { 0.5 };
            sign.certainty += ratio.ln();
            sign.since = with(sign.since);
            if sign.certainty <= 0.0 || before[0] < KNOWN_FROM {
                *sign = Sign::default();
            } else if sign.certainty >= CERTAIN {
                (self.ended, is_new) = (sign.since, true);
                self.was = self.was.or(Some(conversion(before)));
            }
        }
        if is_new {
            (self.signs, self.has_changed) = (Default::default(), true);
        }
        *self = self.times((MOST_COUNTED / self.ended[0]).min(1.0));
        let is = conversion(self.ended);
        let was = self.was.take();
        // The first messages after a change say little: a fall may show later, or be two.
        self.was = was.filter(|was| (was / 2.0..was * 0.75).contains(&is));
        was.filter(|was| is < was / 2.0).map(|was| [was, is])
    }
}

/// A gateway's conversion in a country is less than half of what it was.
#[derive(Debug, Clone, Copy)]
pub struct Fall {
    /// Where.
    pub of: Key,
    /// The recipient of the message that ended last.
    pub number: PhoneNumber,
    /// The conversion before, and since then.
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

    /// Counts a message. Returns the conversion before and after a fall.
    fn add(&mut self, (lane, gateway): Key, is_verified: bool, now: Timestamp) -> Option<[f64; 2]> {
        // Of all countries together nothing has changed when another one sends more.
        self.0.entry((lane.whole(), gateway)).or_default().add(is_verified, now, false);
        if self.0.len() >= MOST && !self.0.contains_key(&(lane, gateway)) {
            return None;
        }
        self.0.entry((lane, gateway)).or_default().add(is_verified, now, true)
    }

    /// The parameters of the Beta distribution of a gateway's conversion: its messages, and as many to other countries and
    /// of other services as these are worth.
    fn belief(&self, (lane, gateway): Key, now: Timestamp) -> [f64; 2] {
        let (own, all) = (self.of((lane, gateway), now), self.of((lane.whole(), gateway), now));
        let others = 1.0 - (own.ended[0] / all.ended[0].max(f64::MIN_POSITIVE)).min(1.0);
        let borrowed = if own.has_changed { 0.0 } else { all.ended[0].min(BORROWED) * others };
        let verified = own.ended[1] + borrowed * conversion(all.ended);
        // Where others know a gateway, trying it again costs more than it tells: the draw is narrower.
        let narrow = 1.0 + 2.0 * borrowed / BORROWED;
        [1.0 + verified, 1.0 + own.ended[0] + borrowed - verified].map(|count| count * narrow)
    }

    /// The conversion that is expected of a gateway.
    pub fn expected(&self, key: Key, now: Timestamp) -> f64 {
        let [verified, others] = self.belief(key, now);
        verified / (verified + others)
    }

    /// The gateways in the order that these random bits draw.
    pub fn order(&self, lane: Lane, offers: &[Offer], random: u64, now: Timestamp) -> Vec<GatewayName> {
        let mut rng = StdRng::seed_from_u64(random);
        let draw = |(gateway, costs): &Offer| {
            let [verified, others] = self.belief((lane, *gateway), now);
            // Both are at least 1, which is what the distribution asks for.
            let drawn = Beta::new(verified, others).map_or(0.0, |beliefs| beliefs.sample(&mut rng));
            (drawn - costs, *gateway)
        };
        let mut drawn: Vec<_> = offers.iter().map(draw).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 50")]
        let tried = offers.get((rng.random::<f64>() / LEAST_SHARE) as usize).map(|(gateway, _)| *gateway);
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

/// When a message ends, its recipient, and whether its code was entered.
type Pending = (Timestamp, PhoneNumber, bool);

/// Learns what comes of messages.
#[derive(Debug, Default)]
pub struct Results {
    /// What is known.
    pub rates: Arc<Rates>,
    /// Messages that have not ended, the next one to end first, and whether their code was entered.
    pending: BTreeMap<Key, VecDeque<Pending>>,
}

impl Results {
    /// A message has left, or may have. Its code can be entered until `ends`.
    pub fn sent(&mut self, key: Key, number: PhoneNumber, ends: Timestamp, is_verified: bool) {
        let pending = self.pending.entry(key).or_default();
        if pending.len() < MOST_OPEN {
            // Codes of several services live for different times.
            let place = pending.partition_point(|of| of.0 <= ends);
            pending.insert(place, (ends, number, is_verified));
        }
    }

    /// The code of the last message to a number was entered. It counts when it ends, like the others: a young one would
    /// count for more.
    pub fn verified(&mut self, key: Key, number: PhoneNumber) {
        let mut pending = self.pending.get_mut(&key).into_iter().flatten().rev();
        if let Some(of) = pending.find(|(_, to, is_verified)| *to == number && !is_verified) {
            of.2 = true;
        }
    }

    /// Ends the messages whose time is over. Returns the gateways that have fallen by them.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Fall> {
        let (mut due, rates) = (Vec::new(), &mut self.rates);
        self.pending.retain(|key, pending| {
            let ended = pending.iter().take_while(|of| of.0 <= now).count();
            due.extend(pending.drain(..ended).map(|of| (*key, of)));
            !pending.is_empty()
        });
        // As they ended, whatever the gateway: a start learns the same.
        due.sort_by_key(|(_, of)| of.0);
        let falls = due.into_iter().filter_map(|(of, (ends, number, is_verified))| {
            let from_to = Arc::make_mut(rates).add(of, is_verified, ends)?;
            Some(Fall { of, number, from_to })
        });
        let falls = falls.collect();
        if rates.0.len() >= MOST {
            // What has decayed to less than a tenth of a message says nothing.
            Arc::make_mut(rates).0.retain(|_, rate| rate.at(now).ended[0] >= 0.1);
        }
        falls
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

    fn number(last: u64) -> PhoneNumber {
        PhoneNumber::from_u64(14_155_550_000 + last).expect("a number")
    }

    #[test]
    fn a_message_counts_once_when_its_code_ends() {
        let mut results = Results::default();
        let life = Duration::from_secs(600);
        // Of a code that lives longer, which holds no other back.
        results.sent((LANE, A), number(3), NOW.plus(2 * life), false);
        for last in 0..3 {
            results.sent((LANE, A), number(last), NOW.plus(life), false);
        }
        results.verified((LANE, A), number(1));
        // Of messages that are not known.
        results.verified((LANE, A), number(1));
        results.verified((LANE, B), number(0));
        let counts = |results: &Results| {
            let [messages, verified] = results.rates.of((LANE, A), NOW.plus(life)).ended;
            format!("{verified:.0} of {messages:.0}")
        };
        assert!(results.expire(NOW).is_empty());
        assert_eq!(counts(&results), "0 of 0");
        assert!(results.expire(NOW.plus(life)).is_empty());
        assert_eq!(counts(&results), "1 of 3");
        assert_eq!(results.pending[&(LANE, A)].len(), 1);
        assert!(results.expire(NOW.plus(2 * life)).is_empty());
        assert!(results.pending.is_empty());
        assert_eq!(counts(&results), "1 of 4");
        assert!((results.rates.expected((LANE, B), NOW) - 0.5).abs() < 1e-9, "nothing is known");
    }

    #[test]
    fn a_fall_to_less_than_half_is_told_once_also_in_two_steps() {
        // So many messages, of which the codes of so many in ten are entered.
        for (falls, steps) in [
            (1, vec![[200, 10], [20, 0]]),
            (0, vec![[9, 10], [20, 0]]),
            (1, vec![[300, 9], [300, 4]]),
            (1, vec![[300, 9], [100, 6], [100, 3]]),
            (0, vec![[300, 9], [100, 6], [100, 9]]),
        ] {
            let (mut results, mut told) = (Results::default(), Vec::new());
            for [messages, entered] in &steps {
                for message in 0..*messages {
                    // Spread evenly.
                    let is_verified = message * entered % 10 < *entered;
                    results.sent((LANE, A), number(message), NOW, is_verified);
                    told.extend(results.expire(NOW).into_iter().map(|fall| (number(message), fall)));
                }
            }
            assert_eq!(told.len(), falls, "{steps:?} {told:?}");
            for (last, Fall { number, from_to: [was, is], .. }) in told {
                assert!(number == last && was > 0.85 && is < was / 2.0, "{was} {is}");
            }
        }
    }
}
