//! Counters that are found by an index: a look-up in a family hashes the text of each label.

use std::hash::Hash;
use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::labels::{CHECK_OUTCOMES, GATEWAY_ENDS, OPERATIONS, SEND_ENDS, ServiceLabel};
use crate::domain::Channel;

const CHANNELS: usize = Channel::ALL.len();

/// Metrics of one family, each looked up once. A row or column beyond the bounds is looked up each time.
pub(super) struct Handles<const ROWS: usize, const COLUMNS: usize, M = Counter>(
    [[OnceLock<M>; COLUMNS]; ROWS],
);

impl<const ROWS: usize, const COLUMNS: usize, M> Default for Handles<ROWS, COLUMNS, M> {
    fn default() -> Self {
        Self([const { [const { OnceLock::new() }; COLUMNS] }; ROWS])
    }
}

impl<const ROWS: usize, const COLUMNS: usize, M> Handles<ROWS, COLUMNS, M> {
    /// Calls `count` with the metric at `row` and `column`, which `look_up` finds in its family.
    pub fn with(&self, (row, column): (usize, usize), look_up: impl FnOnce() -> M, count: impl FnOnce(&M)) {
        match self.0.get(row).and_then(|columns| columns.get(column)) {
            Some(handle) => count(handle.get_or_init(look_up)),
            None => count(&look_up()),
        }
    }
}

impl<const ROWS: usize, const COLUMNS: usize> Handles<ROWS, COLUMNS> {
    /// Increments the counter at `place`, its row and column, which has these labels in its family.
    pub fn inc<L>(&self, place: (usize, usize), family: &Family<L, Counter>, labels: impl FnOnce() -> L)
    where
        L: Clone + Hash + Eq,
    {
        let look_up = || family.get_or_create_owned(&labels());
        self.with(place, look_up, |counter| {
            counter.inc();
        });
    }
}

/// The counters of one service. Rows: channels; columns: outcomes.
pub(super) struct ServiceCounters {
    pub label: ServiceLabel,
    pub begun: Handles<CHANNELS, 1>,
    pub approved: Handles<CHANNELS, 1>,
    pub canceled: Handles<CHANNELS, 1>,
    pub sends: Handles<CHANNELS, SEND_ENDS>,
    /// The last row is of checks without a channel.
    pub checks: Handles<{ CHANNELS + 1 }, CHECK_OUTCOMES>,
}

impl ServiceCounters {
    pub fn new(label: ServiceLabel) -> Self {
        let (begun, approved, canceled) = (Handles::default(), Handles::default(), Handles::default());
        Self { label, begun, approved, canceled, sends: Handles::default(), checks: Handles::default() }
    }
}

/// The metrics of one gateway. Rows: operations; columns: outcomes.
#[derive(Default)]
pub(super) struct GatewayMetrics {
    pub requests: Handles<OPERATIONS, GATEWAY_ENDS>,
    pub durations: Handles<OPERATIONS, 1, Histogram>,
}
