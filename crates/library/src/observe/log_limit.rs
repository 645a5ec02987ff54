//! Log lines about events that clients can cause in any number.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Logs the first event of a kind at once, and the further ones once a second: the latest, with their count.
#[derive(Default)]
pub struct OncePerSecond(Arc<Mutex<Unlogged>>);

#[derive(Default)]
struct Unlogged {
    /// Whether a task logs the further ones.
    is_followed: bool,
    count: u64,
    latest: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl OncePerSecond {
    /// Notes an event. `log` is called with the number of events that the line reports, unless a later event is logged.
    pub fn note(&self, log: impl FnOnce(u64) + Send + 'static) {
        let mut unlogged = self.0.lock();
        if unlogged.is_followed {
            unlogged.count += 1;
            unlogged.latest = Some(Box::new(log));
            return;
        }
        unlogged.is_followed = true;
        drop(unlogged);
        log(1);
        let unlogged = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let (log, count) = {
                    let mut unlogged = unlogged.lock();
                    let Some(log) = unlogged.latest.take() else {
                        unlogged.is_followed = false;
                        return;
                    };
                    (log, std::mem::take(&mut unlogged.count))
                };
                log(count);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_logged_at_once_and_a_flood_once_a_second() {
        let lines = Arc::<Mutex<Vec<(u64, u64)>>>::default();
        let kind = OncePerSecond::default();
        let note = |event: u64| {
            let lines = Arc::clone(&lines);
            kind.note(move |count| lines.lock().expect("not poisoned").push((event, count)));
        };
        let logged = || lines.lock().expect("not poisoned").clone();
        for event in 1..=1000 {
            note(event);
        }
        assert_eq!(logged(), [(1, 1)]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(logged(), [(1, 1), (1000, 999)]);
        note(1001);
        assert_eq!(logged(), [(1, 1), (1000, 999)]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(logged(), [(1, 1), (1000, 999), (1001, 1)]);
        note(1002);
        let all = [(1, 1), (1000, 999), (1001, 1), (1002, 1)];
        assert_eq!(logged(), all, "the next flood begins with a line again");
    }
}
