//! Log lines about events that clients can cause in any number.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Logs an event of a kind at most once a second, with the number of those since the last line.
#[derive(Default)]
pub struct OncePerSecond(Mutex<(Option<Instant>, u64)>);

impl OncePerSecond {
    /// Notes an event. `log` is called with the number of events that the line reports, unless there was a line within
    /// the last second: then the next line counts this event too.
    pub fn note(&self, log: impl FnOnce(u64)) {
        #[expect(
            clippy::disallowed_methods,
            reason = "tokio's own time, which a test can stop; it dates nothing"
        )]
        let now = Instant::now();
        let mut noted = self.0.lock();
        let (last, count) = &mut *noted;
        *count += 1;
        if last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1)) {
            return;
        }
        *last = Some(now);
        let count = std::mem::take(count);
        drop(noted);
        log(count);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_logged_at_once_and_a_flood_once_a_second() {
        let (kind, lines) = (OncePerSecond::default(), RefCell::default());
        let note = |event: u64| kind.note(|count| Vec::push(&mut lines.borrow_mut(), (event, count)));
        (1..=1000).for_each(note);
        assert_eq!(*lines.borrow(), [(1, 1)]);
        advance(Duration::from_millis(1500)).await;
        note(1001);
        assert_eq!(*lines.borrow(), [(1, 1), (1001, 1000)]);
        advance(Duration::from_millis(999)).await;
        note(1002);
        assert_eq!(*lines.borrow(), [(1, 1), (1001, 1000)]);
        advance(Duration::from_millis(1)).await;
        note(1003);
        assert_eq!(*lines.borrow(), [(1, 1), (1001, 1000), (1003, 2)]);
    }
}
