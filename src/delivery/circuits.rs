//! The circuits of one gateway: one for all services, and one for each service that fails. Without clock and lock.

use std::collections::HashMap;
use std::time::Duration;

use super::breaker::{Breaker, BreakerPermit, Circuit, CircuitChange, Health};
use crate::config::BreakerSettings;
use crate::domain::{ServiceId, Timestamp};

/// A service that has asked the gateway within this time may be the one for which the gateway works.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// The breaker of all services, and those of services that fail.
///
/// The failures of one service open the circuit of that service only, if others use the gateway: its numbers may be the
/// reason. They open the circuit for all if it is the only one, or with failures of a second service and no success
/// between them. The failed probe of one service then keeps that service out, and that of a second one keeps all out.
#[derive(Debug)]
pub(super) struct Circuits {
    settings: BreakerSettings,
    all: Breaker,
    own: HashMap<ServiceId, Breaker>,
    /// The failures of each service since the last success of any service.
    failures: HashMap<ServiceId, Failures>,
    /// Refusals of the account since the last success. They concern every service.
    account_refusals: u32,
    /// The service whose probe for all services failed last.
    failed_probe: Option<ServiceId>,
    last_user: Option<LastUser>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Whether the provider asked for a pause.
    pause: bool,
}

/// The service that the gateway answered last.
#[derive(Debug, Clone, Copy)]
struct LastUser {
    service: ServiceId,
    at: Timestamp,
    /// The last answer to another service.
    other_at: Option<Timestamp>,
}

/// The right of a service to ask the gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct CircuitsPermit {
    pub service: ServiceId,
    all: BreakerPermit,
    own: BreakerPermit,
}

/// The result of a request to the gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub health: Health,
    /// Whether the provider refused the account or its sender.
    pub account_refused: bool,
}

/// The changes that an answer makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub all: Option<CircuitChange>,
    /// The change of the service that asked.
    pub own: Option<CircuitChange>,
}

impl Circuits {
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            // Opened by the rule of `is_out_for_all`, which counts.
            all: Breaker::new(BreakerSettings { failures: 1, ..settings }),
            own: HashMap::new(),
            failures: HashMap::new(),
            account_refusals: 0,
            failed_probe: None,
            last_user: None,
        }
    }

    /// The right of a service to ask now, if there is one.
    pub fn enter(&mut self, service: ServiceId, now: Timestamp) -> Option<CircuitsPermit> {
        if self.keeps_out(service, now) {
            return None;
        }
        let all = self.all.enter(now)?;
        let own = self.own.get_mut(&service).map_or(Some(BreakerPermit::Regular), |own| own.enter(now))?;
        Some(CircuitsPermit { service, all, own })
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub fn keeps_out(&self, service: ServiceId, now: Timestamp) -> bool {
        self.all.keeps_out(now) || self.own.get(&service).is_some_and(|own| own.keeps_out(now))
    }

    /// Whether the messages of a service are let through, and none of them is a probe.
    pub fn is_closed_for(&self, service: ServiceId, now: Timestamp) -> bool {
        let is_closed = |breaker: &Breaker| breaker.shown(now).0 == Circuit::Closed;
        is_closed(&self.all) && self.own.get(&service).is_none_or(is_closed)
    }

    /// The time until which a service is kept out; `None` if a message may be sent or may probe.
    pub fn open_until(&self, service: ServiceId, now: Timestamp) -> Option<Timestamp> {
        let own = self.own.get(&service).and_then(|own| own.shown(now).1);
        own.max(self.all.shown(now).1)
    }

    /// Gives a right back that was not used to the end.
    pub fn release(&mut self, permit: CircuitsPermit) {
        self.all.release(permit.all);
        if let Some(own) = self.own.get_mut(&permit.service) {
            own.release(permit.own);
        }
    }

    /// Notes an answer.
    pub fn record(&mut self, permit: CircuitsPermit, answered: Answered, now: Timestamp) -> Changes {
        let CircuitsPermit { service, all, own } = permit;
        let health = answered.health;
        self.note_user(service, now);
        if health == Health::Lives {
            self.forget_failures();
            let own = self.own.get_mut(&service).and_then(|breaker| breaker.record(own, health, now));
            // State is kept of a service only while it fails.
            if self.own.get(&service).is_some_and(|own| own.shown(now).0 == Circuit::Closed) {
                self.own.remove(&service);
            }
            return Changes { all: self.all.record(all, health, now), own };
        }
        if all == BreakerPermit::Probe {
            return self.probe_failed(permit, answered, now);
        }
        let breaker = self.own.entry(service).or_insert_with(|| Breaker::new(self.settings));
        let mut changes = Changes { all: None, own: breaker.record(own, health, now) };
        if self.all.shown(now).0 == Circuit::Closed {
            let failures = self.failures.entry(service).or_default();
            failures.count = failures.count.saturating_add(1);
            failures.pause |= matches!(health, Health::OutFor(_));
            self.account_refusals = self.account_refusals.saturating_add(u32::from(answered.account_refused));
            let has_opened = matches!(changes.own, Some(CircuitChange::Opened(_)));
            let is_out = if has_opened && self.sole_user(now).is_some() {
                Some(health)
            } else {
                self.is_out_for_all(health)
            };
            if let Some(health) = is_out {
                self.forget_failures();
                changes.all = self.all.record(all, health, now);
            }
        }
        changes
    }

    /// The circuit that an operator sees, with the service if it is that of one; and the time until which it is open.
    /// The circuit of the only service that asks the gateway is the circuit of the gateway.
    pub fn shown(&self, now: Timestamp) -> (Option<ServiceId>, Circuit, Option<Timestamp>) {
        let (all, until) = self.all.shown(now);
        let sole = self.sole_user(now).filter(|_| all != Circuit::Open);
        let own = sole.and_then(|service| Some((service, self.own.get(&service)?.shown(now))));
        match own {
            Some((service, (circuit, until))) if circuit != Circuit::Closed => {
                (Some(service), circuit, until)
            }
            _ => (None, all, until),
        }
    }

    /// The services whose own circuit is open while the gateway serves others, and until when.
    pub fn open_for_services(&self, now: Timestamp) -> Vec<(ServiceId, Timestamp)> {
        let (shown, circuit, _) = self.shown(now);
        let own = self.own.iter().filter(|(service, _)| circuit != Circuit::Open && Some(**service) != shown);
        own.filter_map(|(service, own)| Some((*service, own.shown(now).1?))).collect()
    }

    /// The service that alone has asked the gateway lately.
    pub fn sole_user(&self, now: Timestamp) -> Option<ServiceId> {
        let LastUser { service, other_at, .. } = self.last_user?;
        other_at.is_none_or(|other_at| now.since(other_at) >= LATELY).then_some(service)
    }

    /// The longest time for which a circuit is open.
    pub fn longest(&self) -> Duration {
        self.all.longest()
    }

    /// A message that probed for all services failed. Its service waits as all would have to; if the probe of another
    /// service failed before, all wait.
    fn probe_failed(&mut self, permit: CircuitsPermit, answered: Answered, now: Timestamp) -> Changes {
        let CircuitsPermit { service, all, own } = permit;
        let mut for_service = match self.own.remove(&service) {
            Some(breaker) if own == BreakerPermit::Probe => breaker,
            _ => self.all.clone(),
        };
        let own = for_service.record(BreakerPermit::Probe, answered.health, now);
        self.own.insert(service, for_service);
        let is_second = self.failed_probe.is_some_and(|other| other != service);
        if !is_second && !answered.account_refused {
            self.failed_probe = Some(service);
            self.all.release(all);
            return Changes { all: None, own };
        }
        self.failed_probe = None;
        Changes { all: self.all.record(all, answered.health, now), own }
    }

    /// Whether the failures concern all services, and the state of the gateway then.
    fn is_out_for_all(&self, health: Health) -> Option<Health> {
        let most = self.settings.failures.saturating_sub(1).max(1);
        let count = self.failures.values().fold(0_u32, |sum, of| sum.saturating_add(of.count.min(most)));
        let pauses = self.failures.values().filter(|of| of.pause).count();
        if pauses >= 2 && matches!(health, Health::OutFor(_)) {
            return Some(health);
        }
        let is_out = self.account_refusals >= self.settings.failures
            || (self.failures.len() >= 2 && count >= self.settings.failures);
        is_out.then_some(Health::Failed)
    }

    fn forget_failures(&mut self) {
        self.failures.clear();
        (self.account_refusals, self.failed_probe) = (0, None);
    }

    fn note_user(&mut self, service: ServiceId, now: Timestamp) {
        let other_at = match self.last_user {
            Some(last) if last.service == service => last.other_at,
            last => last.map(|last| last.at),
        };
        self.last_user = Some(LastUser { service, at: now, other_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings { failures: 3, open_for: secs(10), longest: secs(60) };
    const A: ServiceId = ServiceId::new(1);
    const B: ServiceId = ServiceId::new(2);
    const PAUSE: Health = Health::OutFor(secs(30));

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    fn ask(circuits: &mut Circuits, service: ServiceId, health: Health, now: Timestamp) -> Changes {
        let permit = circuits.enter(service, now).expect("let in");
        circuits.record(permit, Answered { health, account_refused: false }, now)
    }

    fn kept_out(circuits: &Circuits, now: Timestamp) -> [bool; 2] {
        [A, B].map(|service| circuits.keeps_out(service, now))
    }

    /// Circuits that are open for all since the start.
    fn open_for_all() -> Circuits {
        let mut circuits = Circuits::new(SETTINGS);
        for service in [A, A] {
            assert_eq!(ask(&mut circuits, service, Health::Failed, at(0)), Changes::default());
        }
        let changes = ask(&mut circuits, B, Health::Failed, at(0));
        assert_eq!(changes, Changes { all: Some(CircuitChange::Opened(secs(10))), own: None });
        circuits
    }

    #[test]
    fn the_failures_of_one_service_open_its_circuit_only() {
        for health in [Health::Failed, PAUSE] {
            let mut circuits = Circuits::new(SETTINGS);
            ask(&mut circuits, B, Health::Lives, at(0));
            while !circuits.keeps_out(A, at(1)) {
                ask(&mut circuits, A, health, at(1));
            }
            assert_eq!(kept_out(&circuits, at(1)), [true, false]);
            assert_eq!(circuits.shown(at(1)), (None, Circuit::Closed, None));
            assert_eq!(circuits.open_for_services(at(1)).len(), 1);
            // It fails for as long as it likes.
            for minute in 1..60 {
                ask(&mut circuits, A, health, at(60 * minute));
                assert_eq!(kept_out(&circuits, at(60 * minute)), [true, false]);
            }
            ask(&mut circuits, A, Health::Lives, at(3_600));
            assert_eq!(kept_out(&circuits, at(3_600)), [false, false]);
            assert!(circuits.own.is_empty() && circuits.failures.is_empty(), "nothing is kept");
        }
    }

    #[test]
    fn failures_of_two_services_open_the_circuit_for_all() {
        let circuits = open_for_all();
        assert_eq!(kept_out(&circuits, at(9)), [true, true]);
        assert_eq!(circuits.shown(at(9)), (None, Circuit::Open, Some(at(10))));
        assert!(circuits.keeps_out(ServiceId::new(3), at(9)));
        assert_eq!(circuits.open_for_services(at(9)), []);
    }

    #[test]
    fn a_success_between_the_failures_of_two_services_keeps_it_closed() {
        let mut circuits = Circuits::new(SETTINGS);
        for second in 0..20 {
            for service in [A, B] {
                ask(&mut circuits, service, Health::Failed, at(second));
            }
            for service in [A, B] {
                ask(&mut circuits, service, Health::Lives, at(second));
            }
        }
        assert_eq!(kept_out(&circuits, at(20)), [false, false]);
    }

    #[test]
    fn the_pause_of_a_second_service_is_that_of_all() {
        let mut circuits = Circuits::new(SETTINGS);
        ask(&mut circuits, B, Health::Lives, at(0));
        ask(&mut circuits, A, PAUSE, at(0));
        let changes = ask(&mut circuits, B, PAUSE, at(1));
        assert_eq!(changes.all, Some(CircuitChange::Opened(secs(30))));
        assert!(circuits.keeps_out(ServiceId::new(3), at(30)));
    }

    #[test]
    fn a_failed_probe_keeps_its_own_service_out_and_a_second_all() {
        let mut circuits = open_for_all();
        let own = Some(CircuitChange::StillOpen(secs(20)));
        assert_eq!(ask(&mut circuits, A, Health::Failed, at(10)), Changes { all: None, own });
        assert_eq!(kept_out(&circuits, at(10)), [true, false]);
        let changes = ask(&mut circuits, B, Health::Failed, at(10));
        assert_eq!(changes, Changes { all: own, own });
        assert_eq!(kept_out(&circuits, at(29)), [true, true]);
        assert!(circuits.keeps_out(ServiceId::new(3), at(29)));
    }

    #[test]
    fn a_service_that_goes_on_failing_does_not_keep_the_others_out() {
        let mut circuits = open_for_all();
        ask(&mut circuits, A, Health::Failed, at(10));
        assert_eq!(ask(&mut circuits, B, Health::Lives, at(10)).all, Some(CircuitChange::Closed));
        for minute in 1..30 {
            ask(&mut circuits, A, Health::Failed, at(60 * minute));
            assert_eq!(kept_out(&circuits, at(60 * minute)), [true, false]);
        }
    }

    #[test]
    fn a_refused_account_concerns_all_services() {
        let mut circuits = Circuits::new(SETTINGS);
        for _ in 0..SETTINGS.failures {
            let permit = circuits.enter(A, at(0)).expect("let in");
            circuits.record(permit, Answered { health: Health::Failed, account_refused: true }, at(0));
        }
        assert_eq!(kept_out(&circuits, at(9)), [true, true]);
    }

    #[test]
    fn the_circuit_of_the_only_service_is_that_of_the_gateway() {
        let mut circuits = Circuits::new(SETTINGS);
        ask(&mut circuits, B, Health::Lives, at(0));
        ask(&mut circuits, A, PAUSE, at(10));
        assert_eq!(circuits.shown(at(10)).1, Circuit::Closed, "the other one has asked a moment ago");
        let mut circuits = Circuits::new(SETTINGS);
        ask(&mut circuits, B, Health::Lives, at(0));
        ask(&mut circuits, A, PAUSE, at(3_610));
        assert_eq!(circuits.shown(at(3_610)), (None, Circuit::Open, Some(at(3_640))));
        assert_eq!(kept_out(&circuits, at(3_639)), [true, true]);
        ask(&mut circuits, A, Health::Failed, at(3_640));
        assert_eq!(circuits.shown(at(3_640)), (Some(A), Circuit::Open, Some(at(3_660))));
        assert_eq!(kept_out(&circuits, at(3_640)), [true, false], "another one may try");
    }
}
