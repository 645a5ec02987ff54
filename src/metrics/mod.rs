//! Counts what happens, for Prometheus.
//!
//! Each fact of `facts` is handed to [`Metrics`] once, by the code that knows it. Queue lengths and other states are
//! not counted: each scrape takes a [`Reading`].

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod facts;
mod handles;
mod labels;
mod process;
mod reading;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use onceward_core::guard::Ticket;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::handles::{GatewayMetrics, ServiceCounters};
use self::labels::{
    Finding, OTHER, OfGateway, OfService, One, OutcomeOfGateway, OutcomeOfService, ServiceLabel,
    check_outcome,
};
use crate::domain::{Channel, GatewayName, ServiceId};

pub use self::reading::{BudgetView, GatewayReading, Reading, TableReading};
pub use self::text::TextFormat;

pub use self::facts::{
    CheckFacts, CommitFacts, FactConsumer, FailedAttemptFacts, ForwardEnd, GatewayEnd, GatewayFacts,
    GatewayOperation, NodeState, Recipient, SendEnd, SendFacts, VerificationFacts, VerificationStep,
    WebhookEnd,
};

/// Services whose name is the value of a label. Further ones share [`OTHER`], until the next start.
const NAMED_SERVICES: usize = 100;

/// The names of services in labels and in the log. Clones share the source of the names.
#[derive(Clone, Default)]
pub struct ServiceNames(Arc<OnceLock<Box<LookUp>>>);

type LookUp = dyn Fn(ServiceId) -> Option<String> + Send + Sync;

impl ServiceNames {
    /// Sets the source, once. Until then only the default service has a name.
    pub fn set(&self, look_up: impl Fn(ServiceId) -> Option<String> + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(look_up));
    }

    /// `None` for an unknown id.
    pub fn of(&self, id: ServiceId) -> Option<String> {
        match self.0.get() {
            Some(look_up) => look_up(id),
            None => (id == ServiceId::DEFAULT).then(|| ServiceId::DEFAULT_NAME.to_owned()),
        }
    }
}

type Counters<L> = Family<L, Counter>;

/// Receives every fact once, and passes those about verifications and sends on to further consumers.
pub struct Metrics {
    registry: Registry,
    services: RwLock<HashMap<ServiceId, ServiceCounters>>,
    other_services: ServiceCounters,
    /// In the order of [`GatewayName::ALL`].
    gateways: [GatewayMetrics; GatewayName::ALL.len()],
    service_names: ServiceNames,
    consumers: RwLock<Vec<Arc<dyn FactConsumer>>>,
    begun: Counters<OfService>,
    approved: Counters<OfService>,
    canceled: Counters<OfService>,
    sends: Counters<OutcomeOfService>,
    checks: Counters<OutcomeOfService>,
    guard_findings: Counters<Finding>,
    gateway_requests: Counters<OutcomeOfGateway>,
    gateway_duration: Family<OfGateway, Histogram>,
    /// Held directly: a label look-up for each commit is slow.
    durable_commits: Counter,
    failed_commits: Counter,
    commit_duration: Histogram,
    commit_records: Histogram,
    refused: Counters<One>,
    webhook_deliveries: Counters<One>,
    connections: Gauge,
    node_state: Family<One, Gauge>,
    forwarded: Counters<One>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let all = &mut registry;
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        all.register("onceward_build", "The version of the server", Info::new(build));
        let commits: Counters<One> =
            counter(all, "onceward_commits", "Commits of the shards to the journal, by outcome");
        let metrics = Self {
            begun: counter(
                all,
                "onceward_verifications_begun",
                "Verifications whose first message was permitted, without those of test numbers",
            ),
            approved: counter(
                all,
                "onceward_verifications_approved",
                "Verifications that were approved, without those of test numbers",
            ),
            canceled: counter(all, "onceward_verifications_canceled", "Verifications that a client canceled"),
            sends: counter(all, "onceward_sends", "Requested messages and background retries, by outcome"),
            checks: counter(all, "onceward_checks", "Checks of codes, by outcome"),
            guard_findings: counter(
                all,
                "onceward_guard_findings",
                "Rules of the pumping guard that a send broke, by rule and effect",
            ),
            gateway_requests: counter(
                all,
                "onceward_gateway_requests",
                "Requests to gateways, by outcome: ok, or the class of the error",
            ),
            gateway_duration: registered(
                all,
                "onceward_gateway_request_duration_seconds",
                "Time until a gateway answered or was given up",
                Family::new_with_constructor(gateway_histogram),
            ),
            durable_commits: commits.get_or_create_owned(&[("outcome", "durable")]),
            failed_commits: commits.get_or_create_owned(&[("outcome", "failed")]),
            commit_duration: registered(
                all,
                "onceward_commit_duration_seconds",
                "Time until a commit was durable or had failed",
                Histogram::new([
                    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
                    5.0,
                ]),
            ),
            commit_records: registered(
                all,
                "onceward_commit_records",
                "Records in a commit",
                Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
            ),
            refused: counter(
                all,
                "onceward_requests_refused",
                "Requests that were not served, by reason: the server could not, or the request was not permitted or not valid",
            ),
            webhook_deliveries: counter(
                all,
                "onceward_webhook_deliveries",
                "Attempts to deliver events to webhooks, and events that were dropped",
            ),
            connections: registered(
                all,
                "onceward_connections",
                "Open connections of clients",
                Gauge::default(),
            ),
            node_state: registered(
                all,
                "onceward_cluster_node",
                "1 for the state of this node of a cluster, else 0",
                Family::default(),
            ),
            forwarded: counter(
                all,
                "onceward_requests_forwarded",
                "Requests for the owner of the records that reached this node of a cluster, by outcome",
            ),
            services: RwLock::default(),
            other_services: ServiceCounters::new(ServiceLabel { id: None, name: OTHER.into() }),
            gateways: Default::default(),
            service_names: ServiceNames::default(),
            consumers: RwLock::default(),
            registry,
        };
        metrics.create_at_zero();
        metrics
    }
}

/// From the fastest answer on loopback to the longest send budget.
fn gateway_histogram() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

fn counter<L>(registry: &mut Registry, name: &'static str, help: &'static str) -> Counters<L>
where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
{
    registered(registry, name, help, Family::default())
}

fn registered<M>(registry: &mut Registry, name: &'static str, help: &'static str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// The names in its labels, which the log shares.
    pub const fn service_names(&self) -> &ServiceNames {
        &self.service_names
    }

    /// Passes facts on to a further consumer from now on.
    pub fn pass_on_to(&self, consumer: Arc<dyn FactConsumer>) {
        self.consumers.write().unwrap_or_else(PoisonError::into_inner).push(consumer);
    }

    fn pass_on(&self, to: impl Fn(&dyn FactConsumer)) {
        let consumers = self.consumers.read().unwrap_or_else(PoisonError::into_inner);
        consumers.iter().for_each(|consumer| to(&**consumer));
    }

    /// Creates the counters with known labels, as [`create_refusals_at_zero`](Self::create_refusals_at_zero).
    fn create_at_zero(&self) {
        let service = ServiceLabel { id: Some(ServiceId::DEFAULT), name: ServiceId::DEFAULT_NAME.into() };
        let labels = OfService { service, channel: Channel::Sms.as_str() };
        for counters in [&self.begun, &self.approved, &self.canceled] {
            drop(counters.get_or_create(&labels));
        }
        for end in [WebhookEnd::Delivered, WebhookEnd::Retried, WebhookEnd::Failed, WebhookEnd::Dropped] {
            drop(self.webhook_deliveries.get_or_create(&[("outcome", end.as_str())]));
        }
    }

    pub fn verification(&self, facts: &VerificationFacts) {
        self.pass_on(|consumer| consumer.verification(facts));
        let VerificationFacts { recipient, channel, gateway: _, step } = *facts;
        if recipient.is_test {
            return;
        }
        self.with_service(recipient.service, |service| {
            let (handles, family) = match step {
                VerificationStep::Begun => (&service.begun, &self.begun),
                VerificationStep::Approved => (&service.approved, &self.approved),
                VerificationStep::Canceled => (&service.canceled, &self.canceled),
            };
            let labels = || OfService { service: service.label.clone(), channel: channel.as_str() };
            handles.inc((channel as usize, 0), family, labels);
        });
    }

    pub fn send(&self, facts: &SendFacts) {
        self.pass_on(|consumer| consumer.send(facts));
        let (channel, outcome) = (facts.channel.as_str(), facts.outcome.as_str());
        let place = (facts.channel as usize, facts.outcome as usize);
        self.with_service(facts.recipient.service, |service| {
            let labels = || OutcomeOfService { service: service.label.clone(), channel, outcome };
            service.sends.inc(place, &self.sends, labels);
        });
    }

    /// For the further consumers: [`gateway`](Self::gateway) counts requests.
    pub fn failed_attempt(&self, facts: &FailedAttemptFacts) {
        self.pass_on(|consumer| consumer.failed_attempt(facts));
    }

    /// A message that the pumping guard let pass was certainly not sent.
    pub fn not_sent(&self, recipient: Recipient, ticket: &Ticket) {
        self.pass_on(|consumer| consumer.not_sent(recipient, ticket));
    }

    /// The pumping guard refused a message. [`guard_finding`](Self::guard_finding) counts why.
    pub fn refused_by_guard(&self, recipient: Recipient, channel: Channel) {
        self.pass_on(|consumer| consumer.refused_by_guard(recipient, channel));
    }

    pub fn check(&self, facts: &CheckFacts) {
        let (row, channel) = facts
            .channel
            .map_or((Channel::ALL.len(), "none"), |channel| (channel as usize, channel.as_str()));
        let (column, outcome) = check_outcome(facts.outcome);
        self.with_service(facts.recipient.service, |service| {
            let labels = || OutcomeOfService { service: service.label.clone(), channel, outcome };
            service.checks.inc((row, column), &self.checks, labels);
        });
    }

    pub fn gateway(&self, facts: &GatewayFacts) {
        let (gateway, operation) = (facts.gateway.as_str(), facts.operation.as_str());
        let (row, (column, outcome)) = (facts.operation as usize, facts.outcome.label());
        let count = |handles: &GatewayMetrics| {
            let labels = || OutcomeOfGateway { gateway, operation, outcome };
            handles.requests.inc((row, column), &self.gateway_requests, labels);
            let look_up = || self.gateway_duration.get_or_create_owned(&OfGateway { gateway, operation });
            let took = facts.took.as_secs_f64();
            handles.durations.with((row, 0), look_up, |duration| duration.observe(took));
        };
        match self.gateways.get(facts.gateway as usize) {
            Some(handles) => count(handles),
            None => count(&GatewayMetrics::default()),
        }
    }

    pub fn commit(&self, facts: &CommitFacts<'_>) {
        let counter = if facts.result.is_ok() { &self.durable_commits } else { &self.failed_commits };
        counter.inc();
        self.commit_duration.observe(facts.took.as_secs_f64());
        self.commit_records.observe(u32::try_from(facts.records).unwrap_or(u32::MAX).into());
    }

    /// Creates the counter of each reason at zero, because `rate()` misses the first increment of a new series.
    pub fn create_refusals_at_zero(&self, reasons: &[&'static str]) {
        for reason in reasons {
            drop(self.refused.get_or_create(&[("reason", *reason)]));
        }
    }

    /// Counts a request that was not served. The reason is one of a fixed list.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub fn webhook(&self, end: WebhookEnd) {
        self.webhook_deliveries.get_or_create(&[("outcome", end.as_str())]).inc();
    }

    /// Creates the refusals of each rule at zero, as [`create_refusals_at_zero`](Self::create_refusals_at_zero).
    pub fn create_guard_refusals_at_zero(&self, rules: &[&'static str], refused: &'static str) {
        for rule in rules {
            drop(self.guard_findings.get_or_create(&[("rule", *rule), ("effect", refused)]));
        }
    }

    /// Counts a rule of the pumping guard that a send broke. Both names are of fixed lists.
    pub fn guard_finding(&self, rule: &'static str, effect: &'static str) {
        self.guard_findings.get_or_create(&[("rule", rule), ("effect", effect)]).inc();
    }

    /// Creates the series of a node of a cluster at zero, as
    /// [`create_refusals_at_zero`](Self::create_refusals_at_zero).
    pub fn create_forwarded_at_zero(&self) {
        for end in ForwardEnd::ALL {
            drop(self.forwarded.get_or_create(&[("outcome", end.as_str())]));
        }
    }

    pub fn forwarded(&self, end: ForwardEnd) {
        self.forwarded.get_or_create(&[("outcome", end.as_str())]).inc();
    }

    /// Notes the state of this node of a cluster.
    pub fn node_state(&self, now: NodeState) {
        for state in NodeState::ALL {
            self.node_state.get_or_create(&[("state", state.as_str())]).set(i64::from(state == now));
        }
    }

    /// Notes how many connections are open.
    pub fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// The text of a scrape. Without a reading (the server has not started) it has only counters and the process.
    pub fn text(&self, format: TextFormat, reading: Option<&Reading>) -> String {
        let (gauges, process) = (reading.map(Reading::gauges).unwrap_or_default(), reading::process());
        format.write(&[&self.registry, &gauges, &process]).unwrap_or_default()
    }

    /// Calls `count` with the counters of a service.
    fn with_service(&self, id: ServiceId, count: impl FnOnce(&ServiceCounters)) {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = services.get(&id) {
            return count(known);
        }
        drop(services);
        let name = self.service_names.of(id);
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        match name.filter(|_| services.len() < NAMED_SERVICES) {
            Some(name) => {
                let label = ServiceLabel { id: Some(id), name: name.into() };
                count(services.entry(id).or_insert_with(|| ServiceCounters::new(label)));
            }
            None => count(&self.other_services),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
