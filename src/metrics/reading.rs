//! Gauges that are read at each scrape: lengths of queues, tables, sizes.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::process::Process;
use crate::domain::{GatewayName, ServiceId, Timestamp};
use crate::store::StoreSizes;

/// The state of the server at one scrape. Reading it waits for no shard and no commit.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Whether `/readyz` would answer 200.
    pub is_ready: bool,
    pub gateways: Vec<GatewayReading>,
    pub tables: Vec<TableReading>,
    /// Commands about numbers that have no answer yet.
    pub commands: usize,
    /// Deliveries to webhooks that are still to be made.
    pub webhook_backlog: usize,
    pub store: Option<StoreSizes>,
    pub budgets: Vec<BudgetView>,
    /// Rows of the guard's tables that were dropped for want of room.
    pub guard_dropped: u64,
}

/// A budget in the present hour or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetView {
    /// `None` for the budget of all services.
    pub service_id: Option<ServiceId>,
    /// The sid of the service, for the operator.
    pub service_sid: Option<String>,
    /// The name of the service, or `all`.
    pub service: String,
    /// Its key in the configuration.
    pub name: String,
    /// Messages, or millionths of the currency.
    pub spent: u64,
    pub limit: u64,
    /// Whether it refuses messages.
    pub is_spent: bool,
    /// `None` for a budget of messages.
    pub currency: Option<String>,
}

/// A table with a limit.
#[derive(Debug, Clone)]
pub struct TableReading {
    pub name: &'static str,
    pub held: usize,
    pub limit: usize,
}

#[derive(Debug, Clone)]
pub struct GatewayReading {
    pub name: GatewayName,
    /// Every state of a circuit breaker, and whether it is the present one.
    pub circuit: Vec<(&'static str, bool)>,
    /// Messages and checks at the gateway.
    pub in_flight: usize,
    /// Those that wait for a permit.
    pub waiting: usize,
    /// The median time, and that of 19 in 20 requests, until the gateway answered one of the last sends or was given up.
    pub latency: Option<[Duration; 2]>,
    /// When a request failed last, and its class and cause.
    pub last_error: Option<(Timestamp, String)>,
}

type Gauges<const N: usize> = Family<[(&'static str, &'static str); N], Gauge<u64, AtomicU64>>;

/// Gauges of one scrape.
struct Gathered(Registry);

impl Gathered {
    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn each<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'static str); N], usize)>,
    ) where
        [(&'static str, &'static str); N]: EncodeLabelSet + Clone + Hash + Eq + Debug,
    {
        let family = Gauges::<N>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(count(value));
        }
        self.0.register(name, help, family);
    }
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Reading {
    pub(super) fn gauges(&self) -> Registry {
        let Self { is_ready, gateways, tables, commands, webhook_backlog, store, budgets, guard_dropped } =
            self;
        let mut all = Gathered(Registry::default());
        all.one("onceward_ready", "1 while /readyz answers 200, else 0", u64::from(*is_ready));
        let circuits = gateways.iter().flat_map(|gateway| {
            let states = gateway.circuit.iter();
            states.map(|(state, is)| {
                ([("gateway", gateway.name.as_str()), ("state", *state)], usize::from(*is))
            })
        });
        all.each(
            "onceward_gateway_circuit",
            "1 for the state of the gateway's circuit breaker, else 0",
            circuits,
        );
        let of_each = |value: fn(&GatewayReading) -> usize| {
            gateways.iter().map(move |gateway| ([("gateway", gateway.name.as_str())], value(gateway)))
        };
        all.each(
            "onceward_gateway_in_flight",
            "Requests that the gateway has not answered yet",
            of_each(|gateway| gateway.in_flight),
        );
        all.each(
            "onceward_gateway_waiting",
            "Requests that wait because too many are in flight to the gateway",
            of_each(|gateway| gateway.waiting),
        );
        let held = tables.iter().map(|table| ([("table", table.name)], table.held));
        all.each("onceward_table_records", "Records in a table with a limit", held);
        let limit = tables.iter().map(|table| ([("table", table.name)], table.limit));
        all.each(
            "onceward_table_limit_records",
            "Records that one service may have in the table; all services together may have a quarter more. Attempts have one limit for all",
            limit,
        );
        all.one("onceward_commands", "Sends and checks that have no answer yet", count(*commands));
        all.one(
            "onceward_webhook_backlog",
            "Deliveries of events to webhooks that are still to be made",
            count(*webhook_backlog),
        );
        if let Some(store) = store {
            all.one("onceward_journal_bytes", "Journal since the last snapshot", store.journal_bytes);
            all.one("onceward_snapshot_bytes", "Size of the last snapshot", store.snapshot_bytes);
            all.one(
                "onceward_snapshot_timestamp_seconds",
                "Time of the last snapshot, since 1970",
                store.snapshot_time.as_millis() / 1000,
            );
        }
        let of_budgets = |value: fn(&BudgetView) -> u64| {
            let family = Family::<BudgetLabels, Gauge<u64, AtomicU64>>::default();
            for reading in budgets {
                let (service, budget) = (reading.service.clone(), reading.name.clone());
                family.get_or_create(&BudgetLabels { service, budget }).set(value(reading));
            }
            family
        };
        all.0.register(
            "onceward_guard_budget_limit",
            "Limit of a budget in its hour or day: messages, or millionths of the currency",
            of_budgets(|budget| budget.limit),
        );
        all.0.register(
            "onceward_guard_budget_left",
            "What is left of the limit",
            of_budgets(|budget| budget.limit.saturating_sub(budget.spent)),
        );
        all.0.register(
            "onceward_guard_rows_dropped",
            "Allowances and numbers of the pumping guard that were dropped because its tables were full",
            ConstCounter::new(*guard_dropped),
        );
        all.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    service: String,
    budget: String,
}

/// The usual metrics of a process, under their usual names.
pub(super) fn process() -> Registry {
    let mut all = Gathered(Registry::default());
    let Some(Process { cpu_seconds, resident_bytes, open_files, most_files, start_seconds }) =
        Process::read()
    else {
        return all.0;
    };
    all.0.register(
        "process_cpu_seconds",
        "Processor time in user mode and in the kernel",
        ConstCounter::new(cpu_seconds),
    );
    all.one("process_resident_memory_bytes", "Resident memory", resident_bytes);
    all.one("process_open_fds", "Open file descriptors", open_files);
    if let Some(most_files) = most_files {
        all.one("process_max_fds", "Limit on open file descriptors", most_files);
    }
    all.0.register(
        "process_start_time_seconds",
        "Start of the process, since 1970",
        ConstGauge::new(start_seconds),
    );
    all.0
}
