//! One client in one window: when it asks, and what it makes of the answer.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::answers::Verdict;
use super::moments::Moments;
use super::schedule::Schedule;
use super::script::{Script, Step};
use super::tally::Tally;

/// Who carries a client's requests. A trait, so that a test can be the server.
pub trait Carrier: Send {
    /// Asks, waits for the answer, and compares it with what is expected; after a send also the code that arrived.
    fn ask(&mut self, step: &Step) -> impl Future<Output = (Verdict, Option<String>)> + Send;
}

/// When requests leave.
#[derive(Debug)]
pub enum Pace {
    /// The next when the last was answered, until this moment of the window.
    Closed(Duration),
    /// At moments that the server has no influence on.
    Open(Schedule),
}

/// What a client works with, beside its script and its carrier.
pub struct Window<'a> {
    /// When to ask.
    pub pace: &'a Pace,
    /// Where it counts.
    pub tally: &'a Tally,
    /// Its place among all.
    pub client: usize,
    /// The kind of request that it waits for, plus 1; 0 for none. Whoever ends it in the middle counts that.
    pub waits: &'a AtomicUsize,
}

/// Asks until the window is over.
pub async fn drive(
    Window { pace, tally, client, waits }: Window<'_>,
    script: &mut Script,
    carrier: &mut impl Carrier,
    moments: &mut impl Moments,
) {
    loop {
        let due = match pace {
            Pace::Closed(end) => {
                let now = moments.now();
                if now >= *end {
                    return;
                }
                now
            }
            Pace::Open(schedule) => {
                let now = moments.now();
                let Some(due) = schedule.take(now) else { return };
                if due > now {
                    moments.until(due).await;
                    tally.left_late(client, moments.now().saturating_sub(due));
                }
                due
            }
        };
        let step = script.next();
        waits.store(step.kind as usize + 1, Ordering::Relaxed);
        let (verdict, code) = carrier.ask(&step).await;
        waits.store(0, Ordering::Relaxed);
        tally.answered(client, step.kind, &verdict, moments.now().saturating_sub(due));
        match verdict {
            Verdict::Expected(trials) => script.went_well(&step, code, trials),
            Verdict::Refused | Verdict::Unexpected(_) => script.went_wrong(),
        }
    }
}

#[cfg(test)]
mod tests;
