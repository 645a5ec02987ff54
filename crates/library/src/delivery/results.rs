//! The results of gateways: learns them from facts, and orders gateways by them.
//!
//! The records of attempts are written with the decisions that facts are about; a start learns from them again.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use onceward_core::results::{Rates, Results as Learned, conversion, float};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Attempt;
use super::attempts::{Attempts, ListedAttempt};
use crate::config::Pricing;
use crate::domain::{Channel, GatewayName, NumberKey, Timestamp};
use crate::observe::metrics::Fact;
use crate::observe::metrics::VerificationStep::Approved;
use crate::shard::Refusal;

pub use onceward_core::results::{Fall, Key, Lane, Offer};

/// Facts between two publications. Further ones do not count.
const MOST_FACTS: usize = 65_536;

/// Called for each gateway whose conversion in a country has fallen.
pub type FallConsumer = Box<dyn Fn(Fall) + Send + Sync>;

/// What a message to a number is compared with.
pub fn lane(key: NumberKey, channel: Channel) -> Lane {
    Lane { service: Some(key.service), country: key.number.region(), channel }
}

/// A share in whole percents.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
pub fn percent(share: f64) -> u8 {
    (share * 100.0).round() as u8
}

/// Decisions read it and tell it facts without a lock.
pub struct Results {
    /// What messages cost.
    pub pricing: Pricing,
    facts: mpsc::Sender<Fact>,
    learned: Mutex<(Learned, mpsc::Receiver<Fact>)>,
    published: ArcSwap<Rates>,
    on_fall: FallConsumer,
}

impl Results {
    /// Knows nothing yet.
    pub fn new(pricing: Pricing, on_fall: FallConsumer) -> Self {
        let (facts, told) = mpsc::channel(MOST_FACTS);
        let learned = Mutex::new((Learned::default(), told));
        Self { pricing, facts, learned, published: ArcSwap::default(), on_fall }
    }

    /// Learns what came of messages before the start from the attempts that are kept. Falls before `since` are not reported
    /// again. Returns the last error of each gateway.
    ///
    /// # Errors
    /// Those of [`Attempts::all`].
    pub async fn restore(
        &self,
        attempts: &Attempts,
        since: Timestamp,
    ) -> Result<HashMap<GatewayName, (Timestamp, String)>, Refusal> {
        let (mut left, mut last_errors) = (Vec::new(), HashMap::<_, (Timestamp, String)>::new());
        let visit =
            |ListedAttempt { id, number, ends, attempt, converted: is_verified, .. }: ListedAttempt| {
                let known = last_errors.get(&attempt.gateway).map(|(at, _)| *at);
                if let Some(error) = attempt.error().filter(|_| known.is_none_or(|at| at < attempt.at)) {
                    last_errors.insert(attempt.gateway, (attempt.at, error));
                }
                if let Some(ends) = ends.filter(|_| attempt.may_have_left()) {
                    let recipient = NumberKey::new(id.key.service, number);
                    let Attempt { channel, gateway, .. } = attempt;
                    left.push((ends, Fact::Left { recipient, channel, gateway, ends, is_verified }));
                }
            };
        attempts.all(visit).await?;
        left.sort_unstable_by_key(|of| of.0);
        for some in left.chunks(1_000) {
            let mut learned = self.learned.lock();
            for (_, fact) in some {
                learn_fact(&mut learned.0, fact);
            }
            learned.0.expire(since);
        }
        Ok(last_errors)
    }

    /// Notes that a message has left, or that its code was entered.
    pub fn learn(&self, fact: &Fact) {
        if let Fact::Left { .. } | Fact::Verification { step: Approved, .. } = fact {
            let _ = self.facts.try_send(*fact);
        }
    }

    /// Learns what was noted, and ends the messages whose time is over. From then on decisions see what is known now.
    pub fn publish(&self, now: Timestamp) {
        let falls = {
            let (learned, facts) = &mut *self.learned.lock();
            while let Ok(fact) = facts.try_recv() {
                learn_fact(learned, &fact);
            }
            let falls = learned.expire(now);
            self.published.store(Arc::clone(&learned.rates));
            falls
        };
        falls.into_iter().for_each(&self.on_fall);
    }

    /// What decisions see.
    pub fn rates(&self) -> Arc<Rates> {
        self.published.load_full()
    }

    /// Of each channel with results.
    pub fn conversions(&self, gateway: GatewayName, now: Timestamp) -> Vec<(&'static str, u8)> {
        let rates = self.rates();
        let whole = |channel| (Lane { service: None, country: None, channel }, gateway);
        let ended = Channel::ALL.map(|channel| (channel.as_str(), rates.of(whole(channel), now).ended));
        let known = ended.into_iter().filter(|(_, ended)| ended[0] > 0.0);
        known.map(|(channel, ended)| (channel, percent(conversion(ended)))).collect()
    }

    /// Millionths of the currency.
    pub fn price(&self, (lane, gateway): Key) -> u64 {
        let list = || self.pricing.list().of_gateway(Some(gateway), lane.country, lane.channel);
        if gateway == GatewayName::Simulator { 0 } else { list() }
    }

    /// These gateways with what their prices count.
    pub fn offers(&self, lane: Lane, gateways: impl Iterator<Item = GatewayName>) -> Vec<Offer> {
        let mut offers: Vec<_> = gateways.map(|name| (name, float(self.price((lane, name))))).collect();
        let dearest = offers.iter().map(|(_, price)| *price).fold(1.0, f64::max);
        let weight = f64::from(self.pricing.price_weight) / 100.0;
        for (_, price) in &mut offers {
            *price *= weight / dearest;
        }
        offers
    }
}

/// Codes that other systems check do not count.
fn learn_fact(learned: &mut Learned, fact: &Fact) {
    match *fact {
        Fact::Left { recipient: of, channel, gateway, ends, is_verified } if !of.is_carried => {
            learned.sent((lane(of, channel), gateway), of.number, ends, is_verified);
        }
        Fact::Verification { recipient: of, channel, gateway: Some(gateway), .. } if !of.is_carried => {
            learned.verified((lane(of, channel), gateway), of.number);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{HOUR, START, asking, number};

    #[test]
    fn codes_that_other_systems_check_do_not_count() {
        let results = Results::new(Pricing::default(), Box::new(|_| ()));
        let (gateway, channel, later) = (GatewayName::TwilioMessages, Channel::Sms, START.plus(HOUR));
        let plain = asking(number(1)).key;
        let carried = NumberKey { is_carried: true, ..plain };
        for (recipient, known) in [(carried, &[][..]), (plain, &[("sms", 0)])] {
            results.learn(&Fact::Left { recipient, channel, gateway, ends: later, is_verified: false });
            let (recipient, gateway, took) = (carried, Some(gateway), None);
            results.learn(&Fact::Verification { recipient, channel, gateway, step: Approved, took });
            results.publish(later);
            assert_eq!(results.conversions(GatewayName::TwilioMessages, later), known);
        }
    }

    #[test]
    fn the_dearest_gateway_counts_the_whole_weight_and_others_their_part_of_it() {
        let given =
            json!({ "prices": { "*": { "sms": "0.065536", "sms:Mada": "0.016384" } }, "price-weight": 50 });
        let results = Results::new(serde_json::from_value(given).expect("prices"), Box::new(|_| ()));
        let lane = Lane { service: None, country: None, channel: Channel::Sms };
        let mada = GatewayName::of("Mada").expect("a recipe");
        let offers = [(GatewayName::TwilioMessages, 0.5), (mada, 0.125), (GatewayName::Simulator, 0.0)];
        assert_eq!(results.offers(lane, offers.iter().map(|(name, _)| *name)), offers);
    }
}
