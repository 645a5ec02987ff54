//! Delivers messages: which gateway is asked within the send time limit, what an error means for the next step, what is
//! retried later, and what the caller learns.
//!
//! Gateways translate; this module decides, only by the class of their errors. It promises that a message reaches its
//! recipient if one gateway can deliver it within the time, that none leaves for a code that can no longer be used, and
//! that every message of one verification carries the same code. The exception are gateways that make codes of their
//! own: before and after one of them a new code begins.
//!
//! `results` learns what came of messages. `run` is one message's way over the gateways of a channel, the channels that
//! stand in for it and the steps of the workflow, with its end; `error` has its log lines. `plan` and `breaker` decide
//! without I/O.

pub mod attempts;
mod breaker;
mod checks;
mod error;
mod guarded;
mod job;
mod plan;
mod results;
mod run;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;

use crate::clock::{Clock as _, EngineClock};
use crate::config::{Bounds, DeliverySettings, Sender};
use crate::domain::{
    Channel, Code, GatewayName, NumberKey, PhoneNumber, Region, Routing, ServiceId, Timestamp, seconds_up,
    workflow_steps,
};
use crate::gateway::ErrorClass;
use crate::limits::guard::PumpingGuard;
use crate::observe::metrics::{GatewayReading, Metrics};
use crate::registry::{Registry, Service};
use crate::template::Templates;

pub use crate::gateway::Verdict;
pub use breaker::Circuit;
pub use checks::Check;
pub use error::Failure;
pub use guarded::Routed;
pub use job::{
    Attempt, Carried, Delivered, Outgoing, Permitted, PlanChange, PlannedMessage, Reason, SendStatus,
};
pub use results::{Fall, FallConsumer, Key, Lane, Offer, Results, percent};

use guarded::GuardedGateway;
use plan::Workflow;

/// Dependencies of [`Delivery::new`].
pub struct DeliveryDeps {
    /// The order in which gateways are tried.
    pub routing: Routing,
    /// Retries, fallback and the workflow.
    pub settings: DeliverySettings,
    /// The services, which may have a gateway or a workflow of their own; `None` in tests of delivery.
    pub services: Option<Registry>,
    /// The texts.
    pub templates: Templates,
    /// Tells the time of budgets and retries.
    pub clock: EngineClock,
    /// The source of the random part of waits.
    pub rng: Mutex<StdRng>,
    /// [`Bounds::sends`] and [`Bounds::sends_waiting`] for each gateway, and [`Bounds::send_budget`].
    pub bounds: Bounds,
    /// Counts requests to gateways.
    pub metrics: Arc<Metrics>,
    /// Takes the allowances of further steps, and charges messages to budgets; `None` in tests of delivery.
    pub guard: Option<PumpingGuard>,
    /// What came of messages, for the order by results.
    pub results: Arc<Results>,
    /// Whether this process may still send: in a cluster, not when it may have lost the ownership of the records.
    pub may_send: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Delivers through every gateway.
pub struct Delivery {
    gateways: Vec<GuardedGateway>,
    deps: DeliveryDeps,
}

/// A gateway that may carry a message.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    /// Its position in the order of gateways for the number.
    priority: u8,
    gateway: &'a GuardedGateway,
}

/// The state of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayState {
    /// The gateway.
    pub name: GatewayName,
    /// Whether it is asked.
    pub circuit: Circuit,
    /// The time until the next attempt, while the circuit is open.
    pub tries_again_in: Option<Duration>,
    /// What an operator must fix, or the last failure of a circuit that is not closed. Contains no secret and no number.
    pub problem: Option<String>,
}

impl Delivery {
    /// Creates a delivery service with every configured gateway, at most one of each name. One that the routing does not
    /// name sends nothing, and checks the codes that it still holds.
    pub fn new(gateways: Vec<Routed>, deps: DeliveryDeps) -> Self {
        let guarded = |routed| GuardedGateway::new(routed, deps.settings.breaker, &deps.bounds);
        let gateways: Vec<_> = gateways.into_iter().map(guarded).collect();
        for gateway in &gateways {
            deps.metrics.create_outcomes_at_zero(gateway.name);
        }
        Self { gateways, deps }
    }

    fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// The channel of a verification that names none: the workflow's first, else text messages.
    pub fn first_channel_of(&self, service: ServiceId) -> Channel {
        self.workflow_of(service).first_channel()
    }

    /// The texts.
    pub const fn templates(&self) -> &Templates {
        &self.deps.templates
    }

    /// Whether a call stands in for a text message that does not reach this number.
    pub fn calls_instead(&self, service: ServiceId, number: PhoneNumber) -> bool {
        let mut gateways = self.of_number(service, number);
        self.deps.settings.voice && gateways.any(|gateway| gateway.serves(Channel::Call))
    }

    /// The parts of a message with such a code that the first gateway of its number asks money for.
    pub fn parts(&self, outgoing: &Outgoing, channel: Channel, code: &Code, life: Duration) -> u32 {
        let NumberKey { service, number, .. } = outgoing.key;
        let first = self.of_number(service, number).find(|of| of.serves(channel));
        first.map_or(1, |gateway| {
            let text = || self.templates().render(&outgoing.style, channel, number, code, life).text;
            gateway.parts(channel, text).into()
        })
    }

    /// The states of the gateways that may send, in the order of the configuration. A gateway that only checks codes
    /// that it holds is left out.
    pub fn states(&self) -> Vec<GatewayState> {
        let now = self.now();
        let state = |gateway: &GuardedGateway| {
            let (circuit, until) = gateway.circuit.shown(now);
            let problem = gateway.gateway.readiness().err().or_else(|| gateway.circuit.reason());
            let tries_again_in = until.map(|until| until.since(now));
            GatewayState { name: gateway.name, circuit, tries_again_in, problem }
        };
        self.senders().map(state).collect()
    }

    /// The circuit and the queue of every gateway that may send.
    pub fn readings(&self) -> Vec<GatewayReading> {
        let now = self.now();
        let reading = |gateway: &GuardedGateway| {
            let (circuit, _) = gateway.circuit.shown(now);
            let (in_flight, waiting) = gateway.limiter.load();
            let circuit = Circuit::ALL.map(|state| (state.as_str(), state == circuit)).to_vec();
            let conversions = self.deps.results.conversions(gateway.name, now);
            let (name, last_error) = (gateway.name, gateway.last_error());
            GatewayReading { name, circuit, conversions, in_flight, waiting, last_error }
        };
        self.senders().map(reading).collect()
    }

    /// The class of an error code of a gateway, and what it says.
    pub fn described(&self, gateway: GatewayName, code: u32) -> Option<(ErrorClass, &'static str)> {
        self.gateways.iter().find(|known| known.name == gateway)?.gateway.described(code)
    }

    /// The gateways that are configured, whether the routing names them or not.
    pub fn names(&self) -> impl Iterator<Item = GatewayName> {
        self.gateways.iter().map(|gateway| gateway.routed_as)
    }

    /// The last error of a gateway, with its class.
    pub fn last_error(&self, name: GatewayName) -> Option<String> {
        let of_name = self.gateways.iter().filter(|gateway| gateway.routed_as == name);
        of_name.filter_map(GuardedGateway::last_error).max().map(|(_, error)| error)
    }

    /// Shows the errors from before the start.
    pub fn restore_last_errors(&self, known: &HashMap<GatewayName, (Timestamp, String)>) {
        for gateway in &self.gateways {
            if let Some((at, error)) = known.get(&gateway.name) {
                gateway.restore_last_error(*at, error.clone());
            }
        }
    }

    /// The gateways that the routing or a service's messaging configuration names.
    fn senders(&self) -> impl Iterator<Item = &GuardedGateway> {
        let named = self.deps.services.as_ref().map(Registry::named_gateways).unwrap_or_default();
        self.gateways.iter().filter(move |gateway| {
            self.deps.routing.names(gateway.routed_as) || named.contains(&gateway.routed_as)
        })
    }

    /// `Ok` while a gateway can be expected to send, else what each one lacks.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        // One gateway that works is enough.
        let reasons: Option<Vec<_>> = self.senders().map(|gateway| self.unready(gateway)).collect();
        reasons.map_or(Ok(()), Err)
    }

    /// Why a gateway cannot be expected to work. One that may be tried again can: behind a load balancer
    /// only a ready server gets the message that can prove it.
    fn unready(&self, gateway: &GuardedGateway) -> Option<String> {
        if let Err(reason) = gateway.gateway.readiness() {
            return Some(reason);
        }
        let (name, now) = (gateway.name, self.now());
        let wait = seconds_up(gateway.circuit.shown(now).1?.since(now));
        let reason = gateway.circuit.reason()?;
        Some(format!("{name} does not work: {reason}; it is tried again in {wait} s"))
    }

    /// The gateways that may carry a message on a channel, in the order in which they are tried. The messages of a
    /// verification carry the same code where that is possible.
    fn candidates(&self, outgoing: &Outgoing, permitted: &Permitted, channel: Channel) -> Vec<Candidate<'_>> {
        let order = self.order_of(outgoing.key.service, outgoing.key.number);
        let names: Vec<_> = outgoing.only_by().map_or_else(|| order.collect(), |only| vec![only]);
        let verification = &permitted.permit.verification;
        let is_ours = outgoing.carried.is_some() || verification.offset() != 0 || permitted.is_sent();
        let fits = |guarded: &&GuardedGateway| match verification.held {
            // Once it has accepted a message of this plan, only it can repeat the code. Before, the others begin a new one.
            Some(held) => !permitted.is_sent() || guarded.name == held.by,
            None => !is_ours || guarded.carries_our_code(),
        };
        let of_name = |(priority, name)| {
            let all = self.gateways.iter().filter(move |guarded| guarded.routed_as == name);
            all.filter(|guarded| guarded.serves(channel))
                .filter(fits)
                .map(move |gateway| Candidate { priority, gateway })
        };
        let mut found: Vec<_> = (0_u8..).zip(names).flat_map(of_name).collect();
        if self.sender_of(outgoing.key.service) == Sender::Results {
            self.draw(&mut found, outgoing.key, permitted, channel);
        }
        self.put_asked_behind(&mut found, permitted);
        if let Some(held) = verification.held {
            found.sort_by_key(|candidate| candidate.gateway.name != held.by);
        }
        found
    }

    /// Puts the gateways behind whose message of this verification is not known to have arrived, the one asked last at the
    /// end. Behind all of them come those that would begin another code while ours may have arrived.
    fn put_asked_behind(&self, found: &mut [Candidate<'_>], Permitted { permit, asked, .. }: &Permitted) {
        let asked: Vec<_> =
            asked.iter().filter_map(|name| self.gateways.iter().find(|other| other.name == *name)).collect();
        let ours_is_out = permit.verification.sent || asked.iter().any(|other| other.carries_our_code());
        let place = |of: &Candidate<'_>| asked.iter().rposition(|g| g.routed_as == of.gateway.routed_as);
        found.sort_by_key(|of| {
            if of.gateway.carries_our_code() { (false, place(of)) } else { (ours_is_out, None) }
        });
    }

    /// Puts the gateways that no rule names for the number in the order that their results draw. Each message draws anew,
    /// from the random salt of its verification.
    fn draw(&self, found: &mut [Candidate<'_>], key: NumberKey, permitted: &Permitted, channel: Channel) {
        let own = self.own_gateway(key.service, || key.number.region());
        let ruled = found.partition_point(|of| self.is_ruled(own, of.gateway));
        let (drawn, results, lane) = (&mut found[ruled..], &self.deps.results, results::lane(key, channel));
        let offers = results.offers(lane, drawn.iter().map(|of| of.gateway.name));
        let random = permitted.permit.verification.salt.id().wrapping_add(permitted.first_attempt.into());
        let order = results.rates().order(lane, &offers, random, self.now());
        drawn.sort_by_key(|of| order.iter().position(|name| *name == of.gateway.name));
    }

    /// The gateways that a rule puts before the others: a prefix, for its numbers, or the choice of the service for the
    /// country. And those of which results choose the first, with what their prices count; none after such a choice.
    pub fn offers(&self, lane: Lane) -> (Vec<GatewayName>, Vec<Offer>) {
        let own = lane.service.and_then(|service| self.own_gateway(service, || lane.country));
        let all = || self.gateways.iter().filter(|of| of.serves(lane.channel));
        let is_ruled = |of: &&GuardedGateway| self.is_ruled(own, of);
        let drawn = all().filter(|of| !is_ruled(of) && all().all(|of| Some(of.routed_as) != own));
        let offers = self.deps.results.offers(lane, drawn.map(|of| of.name));
        (all().filter(is_ruled).map(|of| of.name).collect(), offers)
    }

    fn is_ruled(&self, own: Option<GatewayName>, gateway: &GuardedGateway) -> bool {
        own == Some(gateway.routed_as) || !self.deps.routing.takes_any(gateway.routed_as)
    }

    /// How the gateways of a service are ordered.
    pub fn sender_of(&self, service: ServiceId) -> Sender {
        let own = self.settings_of(service).and_then(|own| own.settings.sender);
        own.unwrap_or(self.deps.settings.sender)
    }

    /// The gateways of a number in the order in which they are tried. A service's own gateway for the number's
    /// country comes first.
    fn order_of(&self, service: ServiceId, number: PhoneNumber) -> impl Iterator<Item = GatewayName> {
        let own = self.own_gateway(service, || number.region());
        let others = self.deps.routing.order(number).filter(move |name| Some(*name) != own);
        own.into_iter().chain(others)
    }

    /// The gateways of a number in that order.
    fn of_number(&self, service: ServiceId, number: PhoneNumber) -> impl Iterator<Item = &GuardedGateway> {
        let of_name = |name| self.gateways.iter().filter(move |of| of.routed_as == name);
        self.order_of(service, number).flat_map(of_name)
    }

    fn own_gateway(
        &self,
        service: ServiceId,
        country: impl FnOnce() -> Option<Region>,
    ) -> Option<GatewayName> {
        let own = self.settings_of(service).filter(|service| !service.messaging.is_empty())?;
        self.deps.services.as_ref()?.gateway_for(&own, country()?)
    }

    /// The workflow of a service.
    fn workflow_of(&self, service: ServiceId) -> Workflow<'_> {
        let own = self.settings_of(service).and_then(|own| workflow_steps(own.settings.workflow.as_deref()?));
        Workflow(own.map_or(Cow::Borrowed(self.deps.settings.workflow.as_slice()), Cow::Owned))
    }

    /// The time for one send of a service.
    fn time_limit_of(&self, service: ServiceId) -> Duration {
        let own = self.settings_of(service).and_then(|own| own.settings.send_budget);
        own.map_or(self.deps.bounds.send_budget, |own| own.min(self.deps.bounds.send_budget))
    }

    /// The service, unless it is the default one, which follows the settings.
    fn settings_of(&self, service: ServiceId) -> Option<Arc<Service>> {
        let services = self.deps.services.as_ref().filter(|_| service != ServiceId::DEFAULT)?;
        services.service_by_id(service)
    }
}

#[cfg(test)]
mod tests;
