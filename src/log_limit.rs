//! Log lines about events that clients can cause in any number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Logs the first event of a kind at once, and the further ones once a second with their count.
#[derive(Default)]
pub struct OncePerSecond(Arc<Unlogged>);

#[derive(Default)]
struct Unlogged {
    count: AtomicU64,
    /// Whether a task logs the further ones.
    is_followed: AtomicBool,
}

impl OncePerSecond {
    /// Notes an event. `log` is called with the number of events that the line reports.
    pub fn note(&self, log: impl Fn(u64) + Send + 'static) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        if self.0.is_followed.swap(true, Ordering::SeqCst) {
            return;
        }
        log(self.0.count.swap(0, Ordering::SeqCst));
        let unlogged = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                match unlogged.count.swap(0, Ordering::SeqCst) {
                    0 => {
                        unlogged.is_followed.store(false, Ordering::SeqCst);
                        let none_came = unlogged.count.load(Ordering::SeqCst) == 0;
                        if none_came || unlogged.is_followed.swap(true, Ordering::SeqCst) {
                            return;
                        }
                    }
                    count => log(count),
                }
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
        let lines = Arc::<Mutex<Vec<u64>>>::default();
        let kind = OncePerSecond::default();
        let note = || {
            let lines = Arc::clone(&lines);
            kind.note(move |count| lines.lock().expect("not poisoned").push(count));
        };
        let logged = || lines.lock().expect("not poisoned").clone();
        for _ in 0..1000 {
            note();
        }
        assert_eq!(logged(), [1]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(logged(), [1, 999]);
        note();
        assert_eq!(logged(), [1, 999]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(logged(), [1, 999, 1]);
        note();
        assert_eq!(logged(), [1, 999, 1, 1], "the next flood begins with a line again");
    }
}
