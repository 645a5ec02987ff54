//! Counts what happens, for Prometheus.
//!
//! Each fact of `facts` is handed to [`Metrics`] once, by the code that knows it. Queue lengths and other states are
//! not counted: each scrape takes a [`Reading`].

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod facts;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use strum::VariantNames as _;

use self::facts::{CHECK_OUTCOMES, Labels, OTHER, OfService, OutcomeOfService, check_outcome};
use crate::domain::{Channel, GatewayName, ServiceId};
use crate::gateway::ErrorClass;

pub use self::reading::{BudgetView, GatewayReading, Reading, TableReading};

pub use self::facts::{Fact, GatewayOperation, NodeState, SendEnd, SendFacts, VerificationStep, WebhookEnd};

/// `OpenMetrics`, which Prometheus reads from version 2.5 on.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Services whose name is the value of a label. Further ones share [`OTHER`], until the next start.
pub const NAMED_SERVICES: usize = 100;

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

/// The outcome of a request to a gateway without an error.
pub const ANSWERED: &str = "ok";

/// The outcome of a request to a gateway that did not answer in time.
pub const UNANSWERED: &str = "no_answer";

type Counters<L> = Family<L, Counter>;

/// Declares metrics: a field with its type and first value, and the name and the help text of its family.
macro_rules! families {
    ($($field:ident: $type:ty = $new:expr, $name:literal: $help:literal;)+) => {
        struct Families {
            $($field: $type),+
        }

        impl Families {
            fn new(registry: &mut Registry) -> Self {
                let families = Self { $($field: $new),+ };
                $(registry.register($name, $help, families.$field.clone());)+
                families
            }
        }
    };
}

families! {
    begun: Counters<OfService> = Family::default(),
        "onceward_verifications_begun": "Verifications whose first message was permitted, without those of test numbers";
    approved: Counters<OfService> = Family::default(),
        "onceward_verifications_approved": "Verifications that were approved, without those of test numbers";
    sends: Counters<OutcomeOfService> = Family::default(),
        "onceward_sends": "Requested messages and background retries, by outcome";
    checks: Counters<OutcomeOfService> = Family::default(),
        "onceward_checks": "Checks of codes, by outcome";
    guard_findings: Counters<Labels<2>> = Family::default(),
        "onceward_guard_findings": "Rules of the pumping guard that a send broke, by rule and effect";
    gateway_requests: Counters<Labels<3>> = Family::default(),
        "onceward_gateway_requests": "Requests to gateways, by outcome: ok, or the class of the error";
    gateway_duration: Family<Labels<2>, Histogram> = Family::new_with_constructor(gateway_histogram),
        "onceward_gateway_request_duration_seconds": "Time until a gateway answered or was given up";
    commits: Counters<Labels<1>> = Family::default(),
        "onceward_commits": "Commits of the shards to the journal, by outcome";
    commit_duration: Histogram = Histogram::new(COMMIT_SECONDS),
        "onceward_commit_duration_seconds": "Time until a commit was durable or had failed";
    commit_records: Histogram = Histogram::new((0..=10).map(|power| f64::from(1 << power))),
        "onceward_commit_records": "Records in a commit";
    refused: Counters<Labels<1>> = Family::default(),
        "onceward_requests_refused": "Requests that were not served, by reason: the server could not, or the request was not permitted or not valid";
    webhook_deliveries: Counters<Labels<1>> = Family::default(),
        "onceward_webhook_deliveries": "Attempts to deliver events to webhooks, and events that were dropped";
    connections: Gauge = Gauge::default(),
        "onceward_connections": "Open connections of clients";
    node_state: Family<Labels<1>, Gauge> = Family::default(),
        "onceward_cluster_node": "1 for the state of this node of a cluster, else 0";
}

const COMMIT_SECONDS: [f64; 14] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// From the fastest answer on loopback to the longest send time limit.
fn gateway_histogram() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

type Listener = Box<dyn Fn(&Fact) + Send + Sync>;

/// Counts every fact once. The history counts those about verifications and sends too.
pub struct Metrics {
    registry: Registry,
    families: Families,
    services: Mutex<HashMap<ServiceId, Arc<str>>>,
    other_services: Arc<str>,
    service_names: ServiceNames,
    history: OnceLock<Listener>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("onceward_build", "The version of the server", Info::new(build));
        let families = Families::new(&mut registry);
        zeros(&families.commits, ["durable", "failed"].map(|outcome| [("outcome", outcome)]));
        zeros(&families.webhook_deliveries, WebhookEnd::ALL.map(|end| [("outcome", end.as_str())]));
        Self {
            registry,
            families,
            services: Mutex::default(),
            other_services: OTHER.into(),
            service_names: ServiceNames::default(),
            history: OnceLock::new(),
        }
    }
}

impl Metrics {
    /// The names in its labels, which the log shares.
    pub const fn service_names(&self) -> &ServiceNames {
        &self.service_names
    }

    /// Passes facts on from now on. Only the first call has an effect.
    pub fn pass_on_to(&self, history: impl Fn(&Fact) + Send + Sync + 'static) {
        let _ = self.history.set(Box::new(history));
    }

    /// Counts what happened to a verification or a message.
    pub fn count(&self, fact: &Fact) {
        if let Some(history) = self.history.get() {
            history(fact);
        }
        match fact {
            Fact::Verification { recipient, channel, step, .. } if !recipient.is_test => {
                let family = match step {
                    VerificationStep::Begun => &self.families.begun,
                    VerificationStep::Approved => &self.families.approved,
                    VerificationStep::Tried | VerificationStep::Canceled => return,
                };
                let (service, channel) = (self.label(recipient.service), channel.as_str());
                family.get_or_create(&OfService { service, channel }).inc();
            }
            Fact::Send(SendFacts { recipient, channel, outcome, .. }) => {
                let (service, channel) = (self.label(recipient.service), channel.as_str());
                let labels = OutcomeOfService { service, channel, outcome: outcome.as_str() };
                self.families.sends.get_or_create(&labels).inc();
            }
            Fact::Check { recipient, channel, outcome } => {
                let (service, channel) =
                    (self.label(recipient.service), channel.map_or("none", Channel::as_str));
                let labels = OutcomeOfService { service, channel, outcome: check_outcome(*outcome) };
                self.families.checks.get_or_create(&labels).inc();
            }
            // Requests to gateways, and what the guard finds, are counted where they are made.
            Fact::Verification { .. }
            | Fact::Left { .. }
            | Fact::FailedAttempt { .. }
            | Fact::Delivered { .. }
            | Fact::Refused(..) => {}
        }
    }

    /// Counts a request to a gateway and its answer: [`ANSWERED`], the class of its error, or [`UNANSWERED`].
    pub fn gateway(&self, name: GatewayName, asked: GatewayOperation, end: &'static str, took: Duration) {
        let (gateway, operation) = (("gateway", name.as_str()), ("operation", asked.as_str()));
        self.families.gateway_requests.get_or_create(&[gateway, operation, ("outcome", end)]).inc();
        self.families.gateway_duration.get_or_create(&[gateway, operation]).observe(took.as_secs_f64());
    }

    /// Counts a commit, which took so long from the hand-over to the store until its answer.
    pub fn commit(&self, records: usize, is_durable: bool, took: Duration) {
        let outcome = if is_durable { "durable" } else { "failed" };
        self.families.commits.get_or_create(&[("outcome", outcome)]).inc();
        self.families.commit_duration.observe(took.as_secs_f64());
        self.families.commit_records.observe(u32::try_from(records).unwrap_or(u32::MAX).into());
    }

    /// Creates the outcomes of a gateway's sends at zero.
    pub fn create_outcomes_at_zero(&self, gateway: GatewayName) {
        let send = ("operation", GatewayOperation::Send.as_str());
        let ends = [ANSWERED, UNANSWERED].into_iter().chain(ErrorClass::VARIANTS.iter().copied());
        let labels = |end| [("gateway", gateway.as_str()), send, ("outcome", end)];
        zeros(&self.families.gateway_requests, ends.map(labels));
    }

    /// Creates the counters of a service's text messages at zero.
    pub fn create_service_at_zero(&self, service: ServiceId) {
        let Families { begun, approved, sends, checks, .. } = &self.families;
        let (service, channel) = (self.label(service), Channel::Sms.as_str());
        for counters in [begun, approved] {
            zeros(counters, [OfService { service: Arc::clone(&service), channel }]);
        }
        let of = |outcome| OutcomeOfService { service: Arc::clone(&service), channel, outcome };
        zeros(sends, SendEnd::ALL.map(|end| of(end.as_str())));
        zeros(checks, CHECK_OUTCOMES.map(of));
    }

    /// Creates the counter of each reason at zero.
    pub fn create_refusals_at_zero(&self, reasons: &[&'static str]) {
        zeros(&self.families.refused, reasons.iter().map(|reason| [("reason", *reason)]));
    }

    /// Counts a request that was not served. The reason is one of a fixed list.
    pub fn refused(&self, reason: &'static str) {
        self.families.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub fn webhook(&self, end: WebhookEnd) {
        self.families.webhook_deliveries.get_or_create(&[("outcome", end.as_str())]).inc();
    }

    /// Creates the refusals of each rule at zero.
    pub fn create_guard_refusals_at_zero(&self, rules: &[&'static str], refused: &'static str) {
        zeros(&self.families.guard_findings, rules.iter().map(|rule| [("rule", *rule), ("effect", refused)]));
    }

    /// Counts a rule of the pumping guard that a send broke. Both names are of fixed lists.
    pub fn guard_finding(&self, rule: &'static str, effect: &'static str) {
        self.families.guard_findings.get_or_create(&[("rule", rule), ("effect", effect)]).inc();
    }

    /// Notes the state of this node of a cluster.
    pub fn node_state(&self, now: NodeState) {
        for state in NodeState::ALL {
            self.families.node_state.get_or_create(&[("state", state.as_str())]).set(i64::from(state == now));
        }
    }

    /// Notes how many connections are open.
    pub fn connections(&self, open: usize) {
        self.families.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// The text of a scrape. Without a reading (the server has not started) it has only counters and the process.
    pub fn text(&self, reading: Option<&Reading>) -> String {
        let (gauges, process) = (reading.map(Reading::gauges).unwrap_or_default(), reading::registry());
        let mut text = String::with_capacity(32 * 1024);
        let mut registries = [&self.registry, &gauges, &process].into_iter();
        let written = registries.try_for_each(|registry| encode_registry(&mut text, registry));
        // Writing to a text does not fail.
        let _ = written.and_then(|()| encode_eof(&mut text));
        text
    }

    fn label(&self, id: ServiceId) -> Arc<str> {
        let mut services = self.services.lock();
        if let Some(known) = services.get(&id) {
            return known.clone();
        }
        match self.service_names.of(id).filter(|_| services.len() < NAMED_SERVICES) {
            Some(name) => services.entry(id).or_insert_with(|| name.into()).clone(),
            None => self.other_services.clone(),
        }
    }
}

/// `rate()` misses the first increment of a new series.
fn zeros<L: Clone + Hash + Eq>(counters: &Counters<L>, labels: impl IntoIterator<Item = L>) {
    for labels in labels {
        drop(counters.get_or_create(&labels));
    }
}
