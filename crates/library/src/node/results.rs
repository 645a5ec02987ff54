//! The results of gateways, as the dashboard and `onceward gateways results` show them.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use onceward_core::results::{conversion, float};
use serde::Serialize;

use super::Running;
use super::history::{Counts, Group, Resolution, totals};
use crate::config::Sender;
use crate::delivery::{Lane, percent};
use crate::domain::{Channel, GatewayName, Region, ServiceId, Timestamp};
use crate::shard::Refusal;

/// A gateway in a country.
#[derive(Debug, Serialize)]
pub struct GatewayResults {
    pub service: String,
    pub country: Option<Region>,
    pub channel: Channel,
    pub gateway: GatewayName,
    /// Of the last seven days of UTC, with today.
    pub messages: u64,
    pub verified_percent: u8,
    /// The upper bound of the class of times that has the median.
    pub median_seconds: Option<u64>,
    /// Millionths of the currency.
    pub micros_each_verified: Option<u64>,
    /// Its share of the messages on each of these days.
    pub share_percent: Vec<u8>,
    pub sender: Sender,
    /// The share that it has, or would have, with `results`.
    pub results_percent: u8,
    /// What the messages would have cost less, for as many verified numbers.
    pub saved_micros: i64,
}

impl Running {
    /// What came of the messages of a service, or of all, and what the order by results would save: most first.
    ///
    /// # Errors
    /// Those of [`super::history::History::between`].
    pub async fn results(&self, service: Option<ServiceId>) -> Result<Vec<GatewayResults>, Refusal> {
        let (day, now, results) = (Resolution::Day, self.shards.clock().now(), self.history.results());
        let days: Vec<_> = (0..7).rev().map(|ago| day.bucket(now).minus(day.length() * ago)).collect();
        let rows = self.history.between(day, days[0], Timestamp::MAX).await?;
        let counted = totals(&rows, |of| (of.service, of.group, of.start));
        let (rates, mut shown) = (results.rates(), Vec::new());
        let mut lanes = BTreeMap::<_, BTreeSet<GatewayName>>::new();
        for (of, Group { country, channel, gateway }, _) in counted.keys() {
            if let Some(gateway) = gateway.filter(|_| service.is_none_or(|only| only == *of)) {
                lanes.entry((*of, *country, *channel)).or_default().insert(gateway);
            }
        }
        for ((of, country, channel), mut names) in lanes {
            // The draws of many lanes would hold up others.
            tokio::task::yield_now().await;
            let lane = Lane { service: Some(of), country, channel };
            let offers = self.delivery.offers(lane);
            let shares = rates.shares(lane, &offers, now);
            let price = |name| float(results.price((lane, name)));
            let mean = |value: &dyn Fn(GatewayName) -> f64| {
                offers.iter().zip(&shares).map(|((name, _), share)| share * value(*name)).sum::<f64>()
            };
            // What a verified number costs with `results`.
            let expected = |name| rates.expected((lane, name), now);
            let each = mean(&price) / mean(&expected).max(f64::MIN_POSITIVE);
            names.extend(offers.iter().map(|(name, _)| *name));
            let counts = |gateway: GatewayName, start| {
                let group = Group { country, channel, gateway: Some(gateway) };
                counted.get(&(of, group, start)).copied().unwrap_or_default()
            };
            let share = |gateway, start: &Timestamp| {
                let all: u64 = names.iter().map(|name| counts(*name, *start).accepted).sum();
                percent(float(counts(gateway, *start).accepted) / float(all.max(1)))
            };
            for &gateway in &names {
                let mut week = Counts::default();
                for start in &days {
                    week += counts(gateway, *start);
                }
                let place = offers.iter().position(|(name, _)| *name == gateway);
                let saved = float(week.accepted) * (price(gateway) - expected(gateway) * each);
                shown.push(GatewayResults {
                    service: self.registry.title_of(of),
                    country,
                    channel,
                    gateway,
                    messages: week.accepted,
                    verified_percent: percent(conversion(rates.of((lane, gateway), now).long)),
                    median_seconds: week.entered.within(50).filter(|_| week.entered.total() > 0),
                    micros_each_verified: week.cost_micros.checked_div(week.verified),
                    share_percent: days.iter().map(|start| share(gateway, start)).collect(),
                    sender: self.delivery.sender_of(of),
                    results_percent: place.map_or(0, |place| percent(shares[place])),
                    saved_micros: place.map_or(0, |_| whole(saved)),
                });
            }
        }
        shown.sort_by_key(|row| Reverse((row.saved_micros, row.messages)));
        Ok(shown)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
const fn whole(micros: f64) -> i64 {
    micros as i64
}
