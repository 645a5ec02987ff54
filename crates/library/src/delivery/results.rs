//! The results of gateways: learns them from facts, and orders gateways by them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use onceward_core::results::{Ended, Rates, Results as Learned, conversion, float};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::Pricing;
use crate::domain::{Channel, GatewayName, NumberKey, PhoneNumber, Timestamp};
use crate::observe::metrics::Fact;
use crate::observe::metrics::VerificationStep::Approved;

pub use onceward_core::results::{Fall, Key, Lane, Offer};

/// A message sees what was known this time before it.
const PUBLISHED_EVERY: Duration = Duration::from_secs(1);

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

/// Learned behind a lock, read without one.
pub struct Results {
    clock: Arc<dyn Clock>,
    /// What messages cost.
    pub pricing: Pricing,
    learned: Mutex<(Learned, Timestamp)>,
    published: ArcSwap<Rates>,
    on_fall: FallConsumer,
}

impl Results {
    /// Knows nothing yet.
    pub fn new(clock: Arc<dyn Clock>, pricing: Pricing, on_fall: FallConsumer) -> Self {
        Self { clock, pricing, learned: Mutex::default(), published: ArcSwap::default(), on_fall }
    }

    /// Messages that ended before the start.
    pub fn restore(&self, key: Key, ended: Ended, at: Timestamp) {
        self.learned.lock().0.restore(key, ended, at);
    }

    /// Learns of a message that has left, or of a code that was entered. Codes that other systems check do not count.
    pub fn learn(&self, fact: &Fact) {
        let (of, channel, gateway, ends, is_verified) = match *fact {
            Fact::Left { recipient, channel, gateway, ends, is_verified } => {
                (recipient, channel, gateway, Some(ends), is_verified)
            }
            Fact::Verification { recipient, channel, gateway: Some(gateway), step: Approved, .. } => {
                (recipient, channel, gateway, None, true)
            }
            _ => return,
        };
        if of.is_carried {
            return;
        }
        let (key, mut learned) = ((lane(of, channel), gateway), self.learned.lock());
        if let Some(ends) = ends {
            // Without the last digits: the number may be erased before it is told of.
            let number = PhoneNumber::from_u64(of.number.as_u64() / 10_000 * 10_000);
            learned.0.sent(key, number.unwrap_or(of.number), ends);
        }
        if is_verified {
            learned.0.verified(key);
        }
        let is_old = self.clock.now().since(learned.1) >= PUBLISHED_EVERY;
        drop(learned);
        if is_old {
            self.publish();
        }
    }

    /// Ends the messages whose time is over. From then on decisions see what is known now.
    pub fn publish(&self) {
        let falls = {
            let (learned, published) = &mut *self.learned.lock();
            *published = self.clock.now();
            let falls = learned.expire(*published);
            self.published.store(Arc::new(learned.rates.clone()));
            falls
        };
        falls.into_iter().for_each(&self.on_fall);
    }

    /// What decisions see.
    pub fn rates(&self) -> Arc<Rates> {
        self.published.load_full()
    }

    /// Of each channel with results.
    pub fn conversions(&self, gateway: GatewayName) -> Vec<(&'static str, u8)> {
        let (rates, now) = (self.rates(), self.clock.now());
        let whole = |channel| (Lane { service: None, country: None, channel }, gateway);
        let recent = Channel::ALL.map(|channel| (channel.as_str(), rates.of(whole(channel), now).recent));
        let known = recent.into_iter().filter(|(_, recent)| recent[0] > 0.0);
        known.map(|(channel, recent)| (channel, percent(conversion(recent)))).collect()
    }

    /// Millionths of the currency.
    pub fn price(&self, (lane, gateway): Key) -> u64 {
        self.pricing.list().of_gateway(Some(gateway), lane.country, lane.channel)
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
