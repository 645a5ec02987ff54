//! Hands a message to a gateway within a time budget: which gateway, who may send now, what an error
//! means for the next step, what is tried again later, and what the caller may be told.
//!
//! Gateways translate; this decides, by the class of their errors only. What it promises: no
//! message leaves for a code that can no longer be used, none is sent a second time that may have
//! been sent, and every message of one verification carries the same code.
//!
//! One delivery is a trip: it passes the gateways of a channel in their order (`pass`), goes on to
//! other channels and steps (`travel`), and ends in a note for the tracker (`conclude`). The
//! decisions are in files without I/O: `next_step`, `backoff`, `workflow`, `breaker`.

mod ask;
mod backoff;
mod breaker;
mod budget;
mod circuit;
mod conclude;
mod error;
mod feedback;
mod held;
mod job;
mod log;
mod next_step;
mod outlet;
mod pace;
mod pass;
mod places;
mod service_rules;
mod state;
pub mod tracker;
mod travel;
mod trip;
mod trouble;
mod workflow;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;

use crate::clock::Clock;
use crate::config::{Bounds, DeliverySettings};
use crate::domain::{Channel, GatewayName, Held, PhoneNumber, Routing, ServiceId};
use crate::gateway::Gateway;
use crate::template::Templates;

pub use crate::gateway::Verdict;
pub use breaker::Circuit;
pub use error::DeliveryError;
pub use held::CheckError;
pub use job::{Delivered, Job, Purpose};
pub use service_rules::ServiceRules;
pub use state::GatewayState;
pub use trouble::Trouble;

use budget::Budget;
use outlet::Outlet;
use service_rules::AsTheSettingsSay;
use tracker::Tracker;
use trip::Trip;
use workflow::Workflow;

/// A gateway under the name that the routing knows it by.
#[derive(Clone)]
pub struct Routed {
    /// The name in the routing. Twilio Voice goes by `TwilioMessages`, so that calls take the same way
    /// as text messages, unless the routing names it outright.
    pub routed_as: GatewayName,
    /// The gateway.
    pub gateway: Arc<dyn Gateway>,
}

/// What deliveries are made with.
pub struct DeliveryParts {
    /// Every gateway that is configured, at most one of each name. One that the routing does not name
    /// sends nothing, and checks the codes that it still holds.
    pub gateways: Vec<Routed>,
    /// Who is tried in which order.
    pub routing: Routing,
    /// What happens when a send fails or a message does not arrive.
    pub settings: DeliverySettings,
    /// The texts.
    pub templates: Templates,
    /// Where sends are remembered.
    pub tracker: Tracker,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where the random part of waits comes from.
    pub rng: StdRng,
    /// [`Bounds::sends`] and [`Bounds::sends_waiting`] for each gateway, and [`Bounds::send_budget`].
    pub bounds: Bounds,
}

/// Delivers through every gateway.
pub struct Delivery {
    outlets: Vec<Outlet>,
    routing: Routing,
    settings: DeliverySettings,
    workflow: Workflow,
    templates: Templates,
    tracker: Tracker,
    clock: Arc<dyn Clock>,
    rng: Mutex<StdRng>,
    send_budget: Duration,
    /// Whether some gateway wants to know which messages led to a verified number.
    confirms: bool,
    /// Gateways that hold codes and are not configured, as far as that was logged.
    unknown_holders: Mutex<Vec<GatewayName>>,
    services: Arc<dyn ServiceRules>,
}

impl Delivery {
    /// Delivers with these parts.
    pub fn new(parts: DeliveryParts) -> Self {
        let DeliveryParts { gateways, routing, settings, templates, tracker, clock, rng, bounds } = parts;
        let outlet = |routed| Outlet::new(routed, &bounds, settings.breaker);
        let confirms = gateways.iter().any(|routed| routed.gateway.wants_confirmation());
        Self {
            outlets: gateways.into_iter().map(outlet).collect(),
            routing,
            workflow: Workflow::new(&settings),
            settings,
            templates,
            tracker,
            clock,
            rng: Mutex::new(rng),
            send_budget: bounds.send_budget,
            confirms,
            unknown_holders: Mutex::default(),
            services: Arc::new(AsTheSettingsSay),
        }
    }

    /// The same, with what services say of themselves.
    #[must_use]
    pub fn with_services(self, services: Arc<dyn ServiceRules>) -> Self {
        Self { services, ..self }
    }

    /// The channel of a verification that names none: the workflow's first, else text messages.
    pub fn first_channel(&self) -> Channel {
        self.workflow.first_channel()
    }

    /// The texts.
    pub const fn templates(&self) -> &Templates {
        &self.templates
    }

    /// What is remembered about sends, and what is still to be sent.
    pub const fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Whether a first message to this number would be refused for want of room, whatever it said. A cheap
    /// look, so that a flood of them is refused before anything is decided and written. `false` where
    /// there may be another way: a further channel, or a later time.
    pub fn is_crowded(&self, service: ServiceId, number: PhoneNumber, channel: Channel) -> bool {
        let (now, end) = (self.clock.now(), Budget::starting_now(self.send_budget).end);
        let mut crowded = false;
        for name in self.order_of(service, number) {
            let carriers = self.outlets.iter().filter(|o| o.routed_as == name && o.serves(channel));
            for outlet in carriers {
                if outlet.guard.keeps_out(now) {
                    if self.settings.retry.is_some() {
                        return false;
                    }
                } else if !outlet.places.are_crowded(end) {
                    return false;
                } else {
                    crowded = true;
                }
            }
        }
        crowded && self.settings.workflow.is_empty() && self.workflow_of(service).is_none()
    }

    /// The gateways that may carry a trip's message on a channel, in their order, each with its place in
    /// the order of the number.
    fn candidates(&self, trip: &Trip, channel: Channel) -> impl Iterator<Item = (u8, &Outlet)> {
        let carriers = trip.carriers();
        let fits = move |outlet: &Outlet| outlet.serves(channel) && outlet.is_one_of(carriers);
        let order = (0_u8..).zip(self.order_of(trip.job.about.key.service, trip.job.about.number));
        order.flat_map(move |(priority, name)| {
            let named = self.outlets.iter().filter(move |outlet| outlet.routed_as == name && fits(outlet));
            named.map(move |outlet| (priority, outlet))
        })
    }

    /// One of them, by its place.
    fn candidate(&self, trip: &Trip, place: usize) -> Option<(u8, &Outlet)> {
        self.candidates(trip, trip.channel).nth(place)
    }
}

#[cfg(test)]
mod tests;
