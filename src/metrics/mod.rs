//! Counts what happens, for Prometheus.
//!
//! Each fact of [`facts`] is handed to [`Metrics`] once, by the code that knows it. What is known at any time, such as a
//! queue's length, is not counted: a [`Reading`] is taken for each scrape.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod facts;
mod labels;
mod process;
mod reading;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::labels::{
    OTHER, OfGateway, OfService, One, OutcomeOfGateway, OutcomeOfService, ServiceLabel, check_outcome,
};
use crate::domain::{Channel, ServiceId};

pub use self::reading::{GatewayReading, Reading};
pub use self::text::TextFormat;

pub use self::facts::{
    CheckFacts, CommitFacts, GatewayEnd, GatewayFacts, GatewayOperation, Recipient, SendEnd, SendFacts,
    VerificationFacts, VerificationStep, WebhookEnd,
};

/// The name of [`ServiceId::DEFAULT`].
const DEFAULT_SERVICE: &str = "default";

/// Services whose name is the value of a label. Further ones share [`OTHER`], until the next start.
const NAMED_SERVICES: usize = 100;

/// The name of a service in labels and in the log; `None` for an unknown one.
pub type ServiceNames = Arc<dyn Fn(ServiceId) -> Option<String> + Send + Sync>;

type Counters<L> = Family<L, Counter>;

/// Receives every fact once. A further consumer of facts is one more field, and a line in the method of each fact.
pub struct Metrics {
    registry: Registry,
    services: RwLock<HashMap<ServiceId, ServiceLabel>>,
    service_names: OnceLock<ServiceNames>,
    begun: Counters<OfService>,
    approved: Counters<OfService>,
    canceled: Counters<OfService>,
    sends: Counters<OutcomeOfService>,
    checks: Counters<OutcomeOfService>,
    gateway_requests: Counters<OutcomeOfGateway>,
    gateway_duration: Family<OfGateway, Histogram>,
    /// Taken from their family: commits are frequent.
    durable_commits: Counter,
    failed_commits: Counter,
    commit_duration: Histogram,
    commit_records: Histogram,
    refused: Counters<One>,
    webhook_deliveries: Counters<One>,
    connections: Gauge,
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
                "Requests that the server could not serve and answered with 429 or 503, by reason",
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
            services: RwLock::default(),
            service_names: OnceLock::new(),
            registry,
        };
        metrics.begin();
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
    /// Sets how services are named. Without it only the default service has a name.
    pub fn name_services(&self, names: &ServiceNames) {
        let _ = self.service_names.set(Arc::clone(names));
    }

    /// Shows the counters with known labels from the start, as [`begin_refusals`](Self::begin_refusals).
    fn begin(&self) {
        let service = ServiceLabel { id: Some(ServiceId::DEFAULT), name: DEFAULT_SERVICE.into() };
        let labels = OfService { service, channel: Channel::Sms.as_str() };
        for counters in [&self.begun, &self.approved, &self.canceled] {
            drop(counters.get_or_create(&labels));
        }
        for end in [WebhookEnd::Delivered, WebhookEnd::Retried, WebhookEnd::Failed, WebhookEnd::Dropped] {
            drop(self.webhook_deliveries.get_or_create(&[("outcome", end.as_str())]));
        }
    }

    pub fn verification(&self, facts: &VerificationFacts) {
        let VerificationFacts { recipient, channel, step } = *facts;
        if recipient.is_test {
            return;
        }
        let counters = match step {
            VerificationStep::Begun => &self.begun,
            VerificationStep::Approved => &self.approved,
            VerificationStep::Canceled => &self.canceled,
        };
        let labels = OfService { service: self.service(recipient.service), channel: channel.as_str() };
        counters.get_or_create(&labels).inc();
    }

    pub fn send(&self, facts: &SendFacts) {
        let service = self.service(facts.recipient.service);
        let (channel, outcome) = (facts.channel.as_str(), facts.outcome.as_str());
        self.sends.get_or_create(&OutcomeOfService { service, channel, outcome }).inc();
    }

    pub fn check(&self, facts: &CheckFacts) {
        let service = self.service(facts.recipient.service);
        let channel = facts.channel.map_or("none", Channel::as_str);
        let outcome = check_outcome(facts.outcome);
        self.checks.get_or_create(&OutcomeOfService { service, channel, outcome }).inc();
    }

    pub fn gateway(&self, facts: &GatewayFacts) {
        let (gateway, operation) = (facts.gateway.as_str(), facts.operation.as_str());
        let outcome = facts.outcome.as_str();
        self.gateway_requests.get_or_create(&OutcomeOfGateway { gateway, operation, outcome }).inc();
        let duration = self.gateway_duration.get_or_create(&OfGateway { gateway, operation });
        duration.observe(facts.took.as_secs_f64());
    }

    pub fn commit(&self, facts: &CommitFacts<'_>) {
        let counter = if facts.result.is_ok() { &self.durable_commits } else { &self.failed_commits };
        counter.inc();
        self.commit_duration.observe(facts.took.as_secs_f64());
        self.commit_records.observe(u32::try_from(facts.records).unwrap_or(u32::MAX).into());
    }

    /// Shows each reason from the start: the first increase of a counter that did not exist is no increase.
    pub fn begin_refusals(&self, reasons: &[&'static str]) {
        for reason in reasons {
            drop(self.refused.get_or_create(&[("reason", *reason)]));
        }
    }

    /// The reason is one of a fixed list.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub fn webhook(&self, end: WebhookEnd) {
        self.webhook_deliveries.get_or_create(&[("outcome", end.as_str())]).inc();
    }

    /// Notes how many connections are open.
    pub fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// The text of a scrape. Without a reading it has no gauge of the services, which are not running yet.
    pub fn text(&self, format: TextFormat, reading: Option<&Reading>) -> String {
        let (gauges, process) = (reading.map(Reading::gauges).unwrap_or_default(), reading::process());
        format.write(&[&self.registry, &gauges, &process]).unwrap_or_default()
    }

    fn service(&self, id: ServiceId) -> ServiceLabel {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = services.get(&id) {
            return known.clone();
        }
        drop(services);
        let name = match self.service_names.get() {
            Some(names) => names(id),
            None => (id == ServiceId::DEFAULT).then(|| DEFAULT_SERVICE.to_owned()),
        };
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        match name.filter(|_| services.len() < NAMED_SERVICES) {
            Some(name) => {
                let label = ServiceLabel { id: Some(id), name: name.into() };
                services.entry(id).or_insert(label).clone()
            }
            None => ServiceLabel { id: None, name: OTHER.into() },
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
