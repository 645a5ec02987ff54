//! What a service says about its own messages, where that is not what the settings say.

use std::sync::Arc;

use super::workflow::Workflow;
use super::{Delivery, Trip};
use crate::config::WorkflowStep;
use crate::domain::{Channel, GatewayName, PhoneNumber, ServiceId};

/// Who knows the services. Asked with every message, so it answers from memory.
pub trait ServiceRules: Send + Sync + 'static {
    /// The gateway that a service sends through to the country of a number, before all others; `None` where the setting
    /// decides.
    fn gateway(&self, service: ServiceId, number: PhoneNumber) -> Option<GatewayName>;

    /// The channels of a service's verifications in their order; `None` for those of the settings.
    fn workflow(&self, service: ServiceId) -> Option<Arc<[WorkflowStep]>>;
}

/// Every service does as the settings say.
pub(super) struct AsTheSettingsSay;

impl ServiceRules for AsTheSettingsSay {
    fn gateway(&self, _: ServiceId, _: PhoneNumber) -> Option<GatewayName> {
        None
    }

    fn workflow(&self, _: ServiceId) -> Option<Arc<[WorkflowStep]>> {
        None
    }
}

impl Delivery {
    /// The channel of a service's verification that names none: its workflow's first, else text messages.
    pub fn first_channel_of(&self, service: ServiceId) -> Channel {
        self.workflow_of(service).map_or_else(|| self.first_channel(), |workflow| workflow.first_channel())
    }

    /// The workflow of a service that has one of its own.
    pub(super) fn workflow_of(&self, service: ServiceId) -> Option<Workflow> {
        if service == ServiceId::DEFAULT {
            return None;
        }
        let steps = self.services.workflow(service)?;
        Some(Workflow::of(steps.to_vec(), self.settings.workflow_sends))
    }

    /// The gateways of a number in the order in which they are tried.
    pub(super) fn order_of(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> impl Iterator<Item = GatewayName> {
        let own = if service == ServiceId::DEFAULT { None } else { self.services.gateway(service, number) };
        let others = self.routing.order(number).filter(move |name| Some(*name) != own);
        own.into_iter().chain(others)
    }

    /// The workflow that a trip follows.
    pub(super) const fn workflow_for<'a>(&'a self, trip: &'a Trip) -> &'a Workflow {
        match &trip.workflow {
            Some(workflow) => workflow,
            None => &self.workflow,
        }
    }
}
