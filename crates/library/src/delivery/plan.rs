//! What comes next, and when: when a message that no gateway took is tried again, and the workflow, by which one channel
//! follows another. Without I/O.

use std::time::Duration;

use super::Failure;
use crate::domain::{Channel, Timestamp, WorkflowStep};

/// What the retry time depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryInputs {
    /// Retries made so far.
    pub retries: u32,
    /// The earliest moment at which a gateway can be expected to accept it: the wait that the provider asked for, or
    /// the end of an open circuit.
    pub not_before: Timestamp,
    /// When the code expires.
    pub expires: Timestamp,
    /// The longest duration of this step of the workflow; `None` if no step follows.
    pub step_timeout: Option<Duration>,
    /// The present moment.
    pub now: Timestamp,
}

/// When to try again: after a wait that doubles with each retry, and up to half of it more at random, so that messages that
/// failed together are not retried together. `random` is any number. The error says that it was tried as often as is
/// allowed, or that the code, or the time of the workflow step, ends before.
pub(super) fn retry(max_retries: u32, inputs: RetryInputs, random: u32) -> Result<Timestamp, Failure> {
    let RetryInputs { retries, not_before, expires, step_timeout, now } = inputs;
    if retries >= max_retries {
        return Err(Failure::RetriesUsedUp);
    }
    let nominal = nominal(retries);
    let least = nominal.max(not_before.since(now));
    let wait = least.saturating_add(nominal.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0));
    let due = now.plus(wait);
    let waited = || spent(retries).saturating_add(wait);
    if due >= expires || step_timeout.is_some_and(|step_timeout| waited() > step_timeout) {
        return Err(Failure::NoLongerUsable);
    }
    Ok(due)
}

/// The wait after `retries` retries, without the random part and the provider's retry-after time.
fn nominal(retries: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(60);
    FIRST.saturating_mul(2_u32.saturating_pow(retries)).min(LONGEST)
}

/// All waits before this one: how long the message has been tried, roughly.
fn spent(retries: u32) -> Duration {
    // The waits stop growing long before; the rest of them only adds up.
    (0..retries.min(64)).fold(Duration::ZERO, |sum, n| sum.saturating_add(nominal(n)))
}

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

    fn after_ms(ms: u64) -> Timestamp {
        NOW.plus(Duration::from_millis(ms))
    }

    fn after_secs(secs: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(secs))
    }

    /// Of a code that lives for ten minutes.
    fn inputs(retries: u32) -> RetryInputs {
        RetryInputs { retries, not_before: NOW, expires: after_secs(600), step_timeout: None, now: NOW }
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_up_to_half_of_it_comes_on_top() {
        for (retries, shortest, longest) in [
            (0, 500, 750),
            (1, 1_000, 1_500),
            (2, 2_000, 3_000),
            (6, 32_000, 48_000),
            (7, 60_000, 90_000),
            (19, 60_000, 90_000),
        ] {
            assert_eq!(retry(20, inputs(retries), 0), Ok(after_ms(shortest)));
            assert_eq!(retry(20, inputs(retries), u32::MAX), Ok(after_ms(longest)));
            let Ok(due) = retry(20, inputs(retries), u32::MAX / 3) else { panic!("a retry") };
            assert!(due > after_ms(shortest) && due < after_ms(longest));
        }
    }

    #[test]
    fn the_guide_says_how_long_20_retries_take() {
        let least = spent(20).as_secs_f64() / 60.0;
        let said = format!("take {:.0} to {:.0} minutes", least, least * 1.5);
        assert!(include_str!("../../../../docs/guides/older-servers.md").contains(&said), "{said}");
    }

    #[test]
    fn it_is_tried_neither_before_the_provider_wants_it_nor_after_its_time() {
        let not_before = |at| RetryInputs { not_before: at, ..inputs(0) };
        let expiring = |ms| RetryInputs { expires: after_ms(ms), ..inputs(0) };
        let within =
            |retries, secs| RetryInputs { step_timeout: Some(Duration::from_secs(secs)), ..inputs(retries) };
        for (inputs, random, due) in [
            (not_before(after_ms(90_000)), 0, Some(90_000)),
            (not_before(after_ms(90_000)), u32::MAX, Some(90_250)),
            (not_before(Timestamp::EPOCH), 0, Some(500)),
            (not_before(Timestamp::from_millis(u64::MAX)), u32::MAX, None),
            (expiring(501), 0, Some(500)),
            (expiring(500), 0, None),
            (expiring(0), 0, None),
            // 0.5 s have passed, and the next wait is 1 s at least.
            (within(1, 2), 0, Some(1_000)),
            (within(1, 1), 0, None),
            (within(1, 2), u32::MAX, Some(1_500)),
            // 7.5 s have passed, and the next wait is 8 s at least.
            (within(4, 16), 0, Some(8_000)),
            (within(4, 15), 0, None),
            (within(u32::MAX - 1, 1_800), 0, None),
        ] {
            let expected = due.map(after_ms).ok_or(Failure::NoLongerUsable);
            assert_eq!(retry(u32::MAX, inputs, random), expected, "{inputs:?}");
        }
    }

    #[test]
    fn a_step_is_followed_by_the_next_one_after_its_own_time() {
        let step = |channel, secs| WorkflowStep { channel, timeout: Duration::from_secs(secs) };
        let steps = Workflow::of(vec![step(Sms, 10), step(Call, 20), step(WhatsApp, 30)], 3);
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
    }
}
