//! The results of gateways, as the dashboard and `onceward gateways results` show them.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use onceward_core::results::float;
use serde::Serialize;

use super::Running;
use super::history::{Counts, Group, Resolution, Row};
use crate::config::Sender;
use crate::delivery::{Lane, percent};
use crate::domain::{Channel, GatewayName, Region, ServiceId, Timestamp};
use crate::shard::Refusal;

const DAYS: usize = 7;

/// A gateway in a country.
#[derive(Debug, Serialize)]
pub struct GatewayResults {
    pub service: String,
    pub country: Option<Region>,
    pub channel: Channel,
    pub gateway: GatewayName,
    /// Of the last seven days of UTC, with today.
    pub messages: u64,
    pub verified_percent: Option<u8>,
    /// The upper bound of the class of times that has the median.
    pub median_seconds: Option<u64>,
    /// Millionths of the currency.
    pub micros_each_verified: Option<u64>,
    /// Its share of the messages on each of these days; `None` without messages.
    pub share_percent: [Option<u8>; DAYS],
    pub sender: Sender,
    /// A prefix puts it first, or what the service has chosen for the country.
    pub by_rule: bool,
    /// The share that it has, or would have, with `results`; `None` if that does not choose.
    pub results_percent: Option<u8>,
    /// What its messages cost, less what as many verified numbers would have cost by these shares. `None` without messages,
    /// or if no code of any gateway was entered.
    pub saved_micros: Option<i64>,
}

impl Running {
    /// What came of the messages of a service, or of all, and what the order by results would save: most first.
    ///
    /// # Errors
    /// Those of [`super::history::History::between`].
    pub async fn results(&self, service: Option<ServiceId>) -> Result<Vec<GatewayResults>, Refusal> {
        let (day, now, results) = (Resolution::Day, self.shards.clock().now(), &self.history.results);
        let days: Vec<_> = (0..7).rev().map(|ago| day.bucket(now).minus(day.length() * ago)).collect();
        let mut lanes = BTreeMap::<_, BTreeMap<GatewayName, [Counts; DAYS]>>::new();
        for Row { series, counts } in self.history.between(day, days[0], Timestamp::MAX).await? {
            let Group { country, channel, gateway } = series.group;
            if let Some(gateway) = gateway.filter(|_| service.is_none_or(|only| only == series.service))
                && let Some(place) = days.iter().position(|start| *start == series.start)
            {
                let lane = lanes.entry((series.service, country, channel)).or_default();
                lane.entry(gateway).or_default()[place] += counts;
            }
        }
        let (rates, mut shown) = (results.rates(), Vec::new());
        for ((of, country, channel), mut gateways) in lanes {
            // The draws of many lanes would hold up others.
            tokio::task::yield_now().await;
            let lane = Lane { service: Some(of), country, channel };
            let (ruled, offers) = self.delivery.offers(lane);
            let shares = rates.shares(lane, &offers, now);
            let mean = |value: &dyn Fn(GatewayName) -> f64| {
                offers.iter().zip(&shares).map(|((name, _), share)| share * value(*name)).sum::<f64>()
            };
            for (name, _) in &offers {
                gateways.entry(*name).or_default();
            }
            let week = |name: GatewayName| {
                let mut week = Counts::default();
                for of_day in gateways.get(&name).into_iter().flatten() {
                    week += *of_day;
                }
                week
            };
            // What was, or is expected of a gateway without messages.
            let conversion = |name| match week(name) {
                Counts { accepted: 0, .. } => rates.expected((lane, name), now),
                Counts { accepted, verified, .. } => float(verified.min(accepted)) / float(accepted),
            };
            let each = mean(&|name| float(results.price((lane, name)))) / mean(&conversion);
            let all: [u64; DAYS] =
                std::array::from_fn(|day| gateways.values().map(|counts| counts[day].accepted).sum());
            for (&gateway, counts) in &gateways {
                let week = week(gateway);
                let place = offers.iter().position(|(name, _)| *name == gateway);
                shown.push(GatewayResults {
                    service: self.registry.title_of(of),
                    country,
                    channel,
                    gateway,
                    messages: week.accepted,
                    verified_percent: (week.accepted > 0).then(|| percent(conversion(gateway))),
                    median_seconds: week.entered.within(50).filter(|_| week.entered.total() > 0),
                    micros_each_verified: week.cost_micros.checked_div(week.verified),
                    share_percent: std::array::from_fn(|day| {
                        (all[day] > 0).then(|| percent(float(counts[day].accepted) / float(all[day])))
                    }),
                    sender: self.delivery.sender_of(of),
                    by_rule: ruled.contains(&gateway),
                    results_percent: place.map(|place| percent(shares[place])),
                    saved_micros: place.filter(|_| week.accepted > 0).and_then(|_| saved(week, each)),
                });
            }
        }
        shown.sort_by_key(|row| Reverse((row.saved_micros, row.messages)));
        Ok(shown)
    }
}

/// Without a verified number of any gateway, nothing is known of what one costs.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn saved(week: Counts, each: f64) -> Option<i64> {
    each.is_finite().then(|| (float(week.cost_micros) - float(week.verified) * each) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_may_lose_more_than_its_messages_cost() {
        let week = |cost_micros, verified| Counts { verified, cost_micros, ..Counts::default() };
        // What would cost 0.03 at 0.95.
        let each = 30_000.0 / 0.95;
        assert_eq!(saved(week(10_000_000, 700), each), Some(-12_105_263));
        assert_eq!(saved(week(0, 100), each), Some(-3_157_894));
        assert_eq!(saved(week(10_000_000, 0), f64::INFINITY), None);
    }
}
