//! The fallback by delivery: which channel comes when a message does not arrive.

use std::time::Duration;

use crate::config::{DeliverySettings, WorkflowStep};
use crate::domain::{Channel, Timestamp};

/// The channels of a verification in their order. Empty when there is no workflow.
#[derive(Debug, Clone)]
pub(super) struct Workflow {
    steps: Vec<WorkflowStep>,
    sends: u8,
}

impl Workflow {
    /// These steps, with at most `sends` messages in all.
    pub const fn of(steps: Vec<WorkflowStep>, sends: u8) -> Self {
        Self { steps, sends }
    }

    pub fn new(settings: &DeliverySettings) -> Self {
        Self { steps: settings.workflow.clone(), sends: settings.workflow_sends }
    }

    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The channel of a verification that names none.
    pub fn first_channel(&self) -> Channel {
        self.steps.first().map_or(Channel::Sms, |step| step.channel)
    }

    /// Where a verification begins that asks for a channel. One that asks for a channel which is no
    /// step stands behind the last: nothing follows it.
    pub fn step_of(&self, channel: Channel) -> u8 {
        let place = self.steps.iter().position(|step| step.channel == channel);
        u8::try_from(place.unwrap_or(self.steps.len())).unwrap_or(u8::MAX)
    }

    /// The step after `step`, if there is one.
    pub fn after(&self, step: u8) -> Option<(u8, Channel)> {
        let next = step.checked_add(1)?;
        self.steps.get(usize::from(next)).map(|found| (next, found.channel))
    }

    /// The step that a fallback channel is taken in: when the next step is that channel anyway, it
    /// begins now, and is not made a second time.
    pub fn step_on(&self, step: u8, fallback: Channel) -> u8 {
        match self.after(step) {
            Some((next, channel)) if channel == fallback => next,
            _ => step,
        }
    }

    /// Whether a channel was the business of an earlier step.
    pub fn came_before(&self, step: u8, channel: Channel) -> bool {
        self.steps.iter().take(usize::from(step)).any(|earlier| earlier.channel == channel)
    }

    /// The time from a step to the next one; `None` for the last step.
    pub fn step_timeout(&self, step: u8) -> Option<Duration> {
        self.after(step)?;
        self.steps.get(usize::from(step)).map(|step| step.timeout)
    }

    /// Whether a verification may send another message after `sent`.
    pub const fn allows_after(&self, sent: u8) -> bool {
        self.steps.is_empty() || sent < self.sends
    }

    /// The step after one whose message a gateway has taken: when, and how. `sent` counts that message
    /// too. Where the code ends before the step's time, only a report that the message did not arrive
    /// brings the next one: it is due when the code ends, and nothing is sent then.
    pub fn plan(
        &self,
        step: u8,
        sent: u8,
        now: Timestamp,
        expires: Timestamp,
    ) -> Option<(Timestamp, u8, Channel)> {
        let (next, channel) = self.after(step)?;
        let due = now.plus(self.step_timeout(step)?).min(expires);
        (now < expires && self.allows_after(sent)).then_some((due, next, channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Channel::{Call, Sms, WhatsApp};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn after_secs(secs: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(secs))
    }

    fn workflow(channels: &[Channel], sends: u8) -> Workflow {
        // Time-outs of 10 s, 20 s, ...
        let step = |(n, channel): (u64, &Channel)| WorkflowStep {
            channel: *channel,
            timeout: Duration::from_secs(10 * n),
        };
        let steps = (1..).zip(channels).map(step).collect();
        Workflow::new(&DeliverySettings {
            workflow: steps,
            workflow_sends: sends,
            ..DeliverySettings::default()
        })
    }

    #[test]
    fn without_a_workflow_a_text_message_is_sent_and_nothing_follows() {
        let none = workflow(&[], 0);
        assert_eq!(none.first_channel(), Sms);
        assert_eq!((none.step_of(Sms), none.step_of(Call)), (0, 0));
        assert_eq!((none.after(0), none.after(u8::MAX), none.step_timeout(0)), (None, None, None));
        assert_eq!(none.plan(0, 1, NOW, after_secs(600)), None);
        assert!(none.allows_after(200), "retries without a workflow are bounded by their own number");
    }

    #[test]
    fn a_step_is_followed_by_the_next_one_after_its_own_time() {
        let steps = workflow(&[Sms, Call, WhatsApp], 3);
        for (step, sent, expires, planned) in [
            (0, 1, 600, Some((after_secs(10), 1, Call))),
            (1, 2, 600, Some((after_secs(20), 2, WhatsApp))),
            (2, 2, 600, None),
            (3, 1, 600, None),
            (0, 2, 600, Some((after_secs(10), 1, Call))),
            (0, 3, 600, None),
            (0, 255, 600, None),
            (0, 1, 11, Some((after_secs(10), 1, Call))),
            (0, 1, 9, Some((after_secs(9), 1, Call))),
            (0, 1, 0, None),
        ] {
            assert_eq!(steps.plan(step, sent, NOW, after_secs(expires)), planned, "{step} {sent} {expires}");
        }
        assert_eq!(steps.step_timeout(0), Some(Duration::from_secs(10)));
        assert_eq!(steps.step_timeout(2), None);
        assert!(steps.allows_after(2) && !steps.allows_after(3));
    }
}
