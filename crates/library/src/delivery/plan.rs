//! What comes next, and when: when a message that no gateway took is tried again, and the workflow, by which one channel
//! follows another. Without I/O.

use std::borrow::Cow;
use std::time::Duration;

use crate::domain::{Channel, Timestamp, WorkflowStep};

/// How long a message waits that was retried so often: a time that doubles with each retry, at least `least`, and up to half
/// of it more at random, so that messages that failed together are not retried together. `random` is any number.
pub(super) fn retry_wait(retries: u32, least: Duration, random: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(60);
    let nominal = FIRST.saturating_mul(2_u32.saturating_pow(retries)).min(LONGEST);
    let more = nominal.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0);
    nominal.max(least).saturating_add(more)
}

/// The channels of a verification in their order. Empty when there is no workflow.
#[derive(Default)]
pub(super) struct Workflow<'a>(pub Cow<'a, [WorkflowStep]>);

impl Workflow<'_> {
    /// The channel of a verification that names none.
    pub fn first_channel(&self) -> Channel {
        self.0.first().map_or(Channel::Sms, |step| step.channel)
    }

    /// Where a verification begins that asks for a channel. One that asks for a channel which is no
    /// step stands behind the last: nothing follows it.
    pub fn step_of(&self, channel: Channel) -> u8 {
        let place = self.0.iter().position(|step| step.channel == channel);
        u8::try_from(place.unwrap_or(self.0.len())).unwrap_or(u8::MAX)
    }

    /// The step after `step`, if there is one.
    pub fn after(&self, step: u8) -> Option<(u8, Channel)> {
        let next = step.checked_add(1)?;
        self.0.get(usize::from(next)).map(|found| (next, found.channel))
    }

    /// The step that a fallback channel is taken in: when the next step is that channel anyway, it
    /// begins now, and is not made a second time.
    pub fn step_on(&self, step: u8, fallback: Channel) -> u8 {
        match self.after(step) {
            Some((next, channel)) if channel == fallback => next,
            _ => step,
        }
    }

    /// The step after one whose message a gateway has taken: when, and how. Where the code ends before the step's time, only
    /// a report that the message did not arrive brings the next one: it is due when the code ends, and nothing is sent then.
    pub fn plan(&self, step: u8, now: Timestamp, expires: Timestamp) -> Option<(Timestamp, u8, Channel)> {
        let (next, channel) = self.after(step)?;
        let due = now.plus(self.0.get(usize::from(step))?.timeout).min(expires);
        (now < expires).then_some((due, next, channel))
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

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_up_to_half_of_it_comes_on_top() {
        for (retries, least, shortest, longest) in [
            (0, 0, 500, 750),
            (1, 0, 1_000, 1_500),
            (2, 0, 2_000, 3_000),
            (6, 0, 32_000, 48_000),
            (7, 0, 60_000, 90_000),
            (u32::MAX, 0, 60_000, 90_000),
            (0, 90_000, 90_000, 90_250),
        ] {
            let waits = [0, u32::MAX / 3, u32::MAX]
                .map(|random| retry_wait(retries, Duration::from_millis(least), random).as_millis());
            assert_eq!((waits[0], waits[2]), (shortest, longest), "{retries}");
            assert!(shortest < waits[1] && waits[1] < longest);
        }
    }

    #[test]
    fn the_guide_says_how_long_20_retries_take() {
        let waits = (0..20).map(|retries| retry_wait(retries, Duration::ZERO, 0));
        let least = waits.sum::<Duration>().as_secs_f64() / 60.0;
        let said = format!("take {:.0} to {:.0} minutes", least, least * 1.5);
        assert!(include_str!("../../../../docs/guides/older-servers.md").contains(&said), "{said}");
    }

    #[test]
    fn a_step_is_followed_by_the_next_one_after_its_own_time() {
        let step = |channel, secs| WorkflowStep { channel, timeout: Duration::from_secs(secs) };
        let steps = Workflow(vec![step(Sms, 10), step(Call, 20), step(WhatsApp, 30)].into());
        for (step, expires, planned) in [
            (0, 600, Some((after_secs(10), 1, Call))),
            (1, 600, Some((after_secs(20), 2, WhatsApp))),
            (2, 600, None),
            (3, 600, None),
            (0, 11, Some((after_secs(10), 1, Call))),
            (0, 9, Some((after_secs(9), 1, Call))),
            (0, 0, None),
        ] {
            assert_eq!(steps.plan(step, NOW, after_secs(expires)), planned, "{step} {expires}");
        }
        let taken_in = [(0, Call), (0, WhatsApp), (1, WhatsApp)].map(|(step, of)| steps.step_on(step, of));
        assert_eq!(taken_in, [1, 0, 2], "a fallback channel begins the next step only if it is that");
    }
}
