//! What is remembered during one delivery: where it stands and whom it has asked.

use super::budget::Budget;
use super::outlet::Carriers;
use super::tracker::{FollowUp, Hop, Reason, SendStatus, Tracker};
use super::workflow::Workflow;
use super::{Job, Purpose};
use crate::domain::{AttemptId, Channel, GatewayName, Timestamp};

/// One delivery under way.
pub(super) struct Trip {
    pub job: Job,
    pub budget: Budget,
    /// How the message is delivered now.
    pub channel: Channel,
    /// The step of the workflow.
    pub step: u8,
    /// Messages that gateways had taken before.
    pub sent: u8,
    /// Whom it has asked.
    pub hops: Vec<Hop>,
    /// The row that the first hop repeats.
    pub retry_of: Option<u8>,
    /// The row that is repeated now, and how often it was before.
    pub repeated: Option<(u8, u32)>,
    /// Whether time has passed since the caller decided to send.
    pub time_has_passed: bool,
    /// Whether a gateway was asked a second time.
    pub asked_once_more: bool,
    /// The first hop of the present channel.
    pub first_hop_here: usize,
    tried: [bool; Channel::ALL.len()],
    rows_before: Option<u8>,
    /// The service's own, if it has one.
    pub workflow: Option<Workflow>,
}

impl Trip {
    /// `own` is the service's workflow, if it has one, and `common` the one of all others.
    pub fn new(job: Job, budget: Budget, own: Option<Workflow>, common: &Workflow) -> Self {
        let step_of = |channel| own.as_ref().unwrap_or(common).step_of(channel);
        let (channel, step, sent, repeated) = match &job.purpose {
            Purpose::Request => (job.channel, step_of(job.channel), 0, None),
            Purpose::FollowUp(FollowUp { channel, reason, step, sent, .. }) => {
                let repeated = match reason {
                    Reason::Retry { attempt, retries } => Some((*attempt, *retries)),
                    Reason::NextStep => None,
                };
                (*channel, *step, *sent, repeated)
            }
        };
        Self {
            job,
            budget,
            channel,
            step,
            sent,
            // Most messages are taken by the first gateway.
            hops: Vec::with_capacity(1),
            retry_of: repeated.map(|(row, _)| row),
            repeated,
            time_has_passed: false,
            asked_once_more: false,
            first_hop_here: 0,
            tried: [false; Channel::ALL.len()],
            rows_before: None,
            workflow: own,
        }
    }

    pub const fn is_follow_up(&self) -> bool {
        matches!(self.job.purpose, Purpose::FollowUp(_))
    }

    /// Which gateways may be asked.
    pub fn carriers(&self) -> Carriers {
        match self.job.held {
            Some(held) => Carriers::Only(held.by),
            None if self.sent > 0 || self.job.ours_only => Carriers::OfOurCode,
            None => Carriers::Any,
        }
    }

    /// Goes on in another way.
    pub fn go_to(&mut self, step: u8, channel: Channel) {
        if self.hops.is_empty() {
            // Nobody was asked again, so the row stays as it is.
            self.retry_of = None;
        }
        (self.step, self.channel, self.repeated) = (step, channel, None);
        self.first_hop_here = self.hops.len();
    }

    pub fn has_tried(&self, channel: Channel) -> bool {
        self.tried[usize::from(channel.number())]
    }

    pub fn tries(&mut self, channel: Channel) {
        self.tried[usize::from(channel.number())] = true;
    }

    /// The row that the tracker gives a hop: the rows before, then one for each hop, but none for a
    /// first hop that repeats one.
    pub fn row(&mut self, hop: usize, tracker: &Tracker) -> u8 {
        match (self.retry_of, hop) {
            (Some(row), 0) => row,
            (repeats, _) => {
                let before = *self.rows_before.get_or_insert_with(|| tracker.attempts(self.job.about.key));
                let hops = u8::try_from(hop).unwrap_or(u8::MAX);
                let row = before.saturating_add(hops.saturating_sub(u8::from(repeats.is_some())));
                row.min(Tracker::LAST_ROW)
            }
        }
    }

    /// The row of a message that nobody took, which a retry repeats: the one that this was a retry of,
    /// else that of the hop which may work later.
    pub fn row_to_repeat(&mut self, hop: Option<usize>, tracker: &Tracker) -> u8 {
        match self.repeated {
            Some((row, _)) => row,
            None => self.row(hop.unwrap_or(self.first_hop_here), tracker),
        }
    }

    /// Retries made so far of what was asked on the present channel. This one is included if anybody was
    /// asked: to find every gateway out of service is no attempt.
    pub fn retries(&self) -> u32 {
        let asked = self.hops.len() > self.first_hop_here;
        self.repeated.map_or(0, |(_, before)| before.saturating_add(u32::from(asked)))
    }

    /// Nobody took it and it is not tried again.
    pub fn is_unsendable(&mut self, hop: Option<usize>) {
        let hop = hop.unwrap_or(self.first_hop_here);
        if let Some(hop) = self.hops.get_mut(hop) {
            hop.status = SendStatus::Unsendable;
        }
    }

    /// The attempt that the next gateway is asked in.
    pub fn next_attempt(&mut self, tracker: &Tracker) -> AttemptId {
        let attempt = self.row(self.hops.len(), tracker);
        AttemptId { key: self.job.about.key, attempt }
    }

    /// Notes somebody who was asked and did not take it, or was not asked at all.
    pub fn notes(
        &mut self,
        at: Timestamp,
        gateway: GatewayName,
        priority: u8,
        status: SendStatus,
    ) -> &mut Hop {
        let hop =
            Hop { at, channel: self.channel, gateway, priority, status, message_id: None, error_code: None };
        let place = self.hops.len();
        self.hops.push(hop);
        &mut self.hops[place]
    }
}
