//! Messages to the service manager that started the server, such as systemd: readiness, the stop, the watchdog
//! (`sd_notify(3)`). Without one (`NOTIFY_SOCKET` is not set) nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::App;

/// The longest wait for a manager that does not read messages.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// Sends on another thread, because a manager that hangs blocks its senders.
pub(super) async fn tell(state: NotifyState<'static>) {
    let _ = timeout(TAKEN_WITHIN, spawn_blocking(move || sd_notify::notify(&[state]))).await;
}

/// Tells the manager twice in each period of its watchdog that the shards and the journal answer. While one of them
/// hangs, the message waits: the manager then restarts the server.
pub(super) async fn keep_watchdog(app: Arc<App>) {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else { return };
    let mut beats = interval(period / 2);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if app.is_alive().await {
            tell(NotifyState::Watchdog).await;
        }
    }
}
