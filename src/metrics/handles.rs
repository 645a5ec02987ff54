//! Counters that are found by an index: a look-up in a family hashes the text of each label.

use std::hash::Hash;
use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::labels::{CHECK_OUTCOMES, GATEWAY_ENDS, OPERATIONS, SEND_ENDS, ServiceLabel};
use crate::domain::Channel;

const CHANNELS: usize = Channel::ALL.len();

/// Metrics of one family, each looked up once.
pub(super) struct Handles<const N: usize, M = Counter>([OnceLock<M>; N]);

impl<const N: usize, M> Default for Handles<N, M> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; N])
    }
}

impl<const N: usize, M> Handles<N, M> {
    /// Calls `count` with the metric at `index`, which `look_up` finds in its family.
    pub fn with(&self, index: usize, look_up: impl FnOnce() -> M, count: impl FnOnce(&M)) {
        match self.0.get(index) {
            Some(handle) => count(handle.get_or_init(look_up)),
            None => count(&look_up()),
        }
    }
}

impl<const N: usize> Handles<N> {
    /// Increments the counter at `index`, which has these labels in its family.
    pub fn inc<L>(&self, index: usize, family: &Family<L, Counter>, labels: impl FnOnce() -> L)
    where
        L: Clone + Hash + Eq,
    {
        let look_up = || family.get_or_create_owned(&labels());
        self.with(index, look_up, |counter| {
            counter.inc();
        });
    }
}

/// The counters of one service by channel, and by channel and outcome.
pub(super) struct ServiceCounters {
    pub label: ServiceLabel,
    pub begun: Handles<CHANNELS>,
    pub approved: Handles<CHANNELS>,
    pub canceled: Handles<CHANNELS>,
    pub sends: Handles<{ CHANNELS * SEND_ENDS }>,
    /// The last channel is none.
    pub checks: Handles<{ (CHANNELS + 1) * CHECK_OUTCOMES }>,
}

impl ServiceCounters {
    pub fn new(label: ServiceLabel) -> Self {
        let (begun, approved, canceled) = (Handles::default(), Handles::default(), Handles::default());
        Self { label, begun, approved, canceled, sends: Handles::default(), checks: Handles::default() }
    }
}

/// The metrics of one gateway by operation, and by operation and outcome.
#[derive(Default)]
pub(super) struct GatewayMetrics {
    pub requests: Handles<{ OPERATIONS * GATEWAY_ENDS }>,
    pub durations: Handles<OPERATIONS, Histogram>,
}
