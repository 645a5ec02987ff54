//! Gauges that are read at each scrape: lengths of queues, tables, sizes.

use std::fs;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

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
    /// The name of the service, or `all`.
    pub service: String,
    /// Its key in the configuration.
    pub name: String,
    /// Messages, or millionths of the currency.
    pub spent: u64,
    pub limit: u64,
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
    /// Its channels with results, and the percentage of the last messages whose code was entered.
    pub conversions: Vec<(&'static str, u8)>,
    /// Messages and checks at the gateway.
    pub in_flight: usize,
    /// Those that wait for a permit.
    pub waiting: usize,
    /// When a request failed last, and its class and cause.
    pub last_error: Option<(Timestamp, String)>,
}

type Gauges<L> = Family<L, Gauge<u64, AtomicU64>>;

/// Registers metrics of one scrape: the name and the help text of a family, and its values.
macro_rules! register {
    ($registry:ident: $($name:literal: $help:literal => $metric:expr;)+) => {
        $($registry.register($name, $help, $metric);)+
    };
}

fn each<L: Clone + Hash + Eq>(values: impl IntoIterator<Item = (L, u64)>) -> Gauges<L> {
    let family = Gauges::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(value);
    }
    family
}

fn one(value: usize) -> ConstGauge<u64> {
    ConstGauge::new(count(value))
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Reading {
    pub(super) fn gauges(&self) -> Registry {
        let Self { is_ready, gateways, tables, commands, webhook_backlog, store, budgets, guard_dropped } =
            self;
        let mut all = Registry::default();
        let circuits = gateways.iter().flat_map(|gateway| {
            let labels = |state| [("gateway", gateway.name.as_str()), ("state", state)];
            gateway.circuit.iter().map(move |(state, is)| (labels(*state), u64::from(*is)))
        });
        let conversions = gateways.iter().flat_map(|gateway| {
            let labels = |channel| [("gateway", gateway.name.as_str()), ("channel", channel)];
            gateway.conversions.iter().map(move |(channel, percent)| (labels(*channel), u64::from(*percent)))
        });
        let of_gateways = |value: fn(&GatewayReading) -> usize| {
            each(gateways.iter().map(|gateway| ([("gateway", gateway.name.as_str())], count(value(gateway)))))
        };
        let of_tables = |value: fn(&TableReading) -> usize| {
            each(tables.iter().map(|table| ([("table", table.name)], count(value(table)))))
        };
        let of_budgets = |value: fn(&BudgetView) -> u64| {
            each(budgets.iter().map(|budget| {
                let labels = [("service", budget.service.clone()), ("budget", budget.name.clone())];
                (labels, value(budget))
            }))
        };
        register! { all:
            "onceward_ready": "1 while /readyz answers 200, else 0" => one(usize::from(*is_ready));
            "onceward_gateway_circuit": "1 for the state of the gateway's circuit breaker, else 0" => each(circuits);
            "onceward_gateway_conversion_percent": "Percentage of the gateway's messages to all countries whose code was entered: the last 400, each half as much after 7 days" => each(conversions);
            "onceward_gateway_in_flight": "Requests that the gateway has not answered yet" => of_gateways(|gateway| gateway.in_flight);
            "onceward_gateway_waiting": "Requests that wait because too many are in flight to the gateway" => of_gateways(|gateway| gateway.waiting);
            "onceward_table_records": "Records in a table with a limit" => of_tables(|table| table.held);
            "onceward_table_limit_records": "Records that the table may have" => of_tables(|table| table.limit);
            "onceward_commands": "Sends and checks that have no answer yet" => one(*commands);
            "onceward_webhook_backlog": "Deliveries of events to webhooks that are still to be made" => one(*webhook_backlog);
            "onceward_guard_budget_limit": "Limit of a budget in its hour or day: messages, or millionths of the currency" => of_budgets(|budget| budget.limit);
            "onceward_guard_budget_left": "What is left of the limit" => of_budgets(|budget| budget.limit.saturating_sub(budget.spent));
            "onceward_guard_rows_dropped": "Allowances and numbers of the pumping guard that were dropped because its table was full" => ConstCounter::new(*guard_dropped);
        }
        if let Some(StoreSizes { journal_bytes, snapshot_bytes, snapshot_time, .. }) = store {
            register! { all:
                "onceward_journal_bytes": "Journal since the last snapshot" => ConstGauge::new(*journal_bytes);
                "onceward_snapshot_bytes": "Size of the last snapshot" => ConstGauge::new(*snapshot_bytes);
                "onceward_snapshot_timestamp_seconds": "Time of the last snapshot, since 1970" => ConstGauge::new(snapshot_time.as_millis() / 1000);
            }
        }
        all
    }
}

// The process, as `/proc` shows it. A value that cannot be read is left out.

/// The usual metrics of a process, under their usual names.
pub(super) fn registry() -> Registry {
    let (mut all, ticks) = (Registry::default(), clock_ticks_per_second());
    let text = |file| fs::read_to_string(file).unwrap_or_default();
    if let Some([user, system, started, pages]) = fields(&text("/proc/self/stat")) {
        let used = ConstCounter::new(seconds(user + system, ticks));
        all.register("process_cpu_seconds", "Processor time in user mode and in the kernel", used);
        let booted = text("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
        let start = seconds(booted.unwrap_or(0_u64) * ticks + started, ticks);
        all.register(
            "process_start_time_seconds",
            "Start of the process, since 1970",
            ConstGauge::new(start),
        );
        let resident = pages * u64::try_from(page_size()).unwrap_or_default();
        all.register("process_resident_memory_bytes", "Resident memory", ConstGauge::new(resident));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u64::try_from(open.count()).unwrap_or(u64::MAX);
        all.register("process_open_fds", "Open file descriptors", ConstGauge::new(open));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        all.register("process_max_fds", "Limit on open file descriptors", ConstGauge::new(most));
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "ticks of centuries are exact")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

/// The times in user mode and in the kernel, and the start since the boot, in ticks; and the resident pages.
fn fields(stat: &str) -> Option<[u64; 4]> {
    // The name of the program may contain spaces and parentheses. After it follow the fields from the third on.
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse().ok();
    Some([field(14)?, field(15)?, field(22)?, field(24)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_shifts_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(fields(stat), Some([250, 50, 12345, 2]));
    }
}
