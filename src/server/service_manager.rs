//! Messages to the service manager that started the server, such as systemd: readiness, status, watchdog
//! (`sd_notify(3)`). Without one (`NOTIFY_SOCKET` is not set) nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::App;

/// Time between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much longer the manager waits for a start that makes progress, in microseconds.
const START_EXTENDED_BY: u32 = 60_000_000;

/// The longest wait for a manager that does not read messages.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// The status of a server that is ready.
const READY: &str = "ready";

/// Says that the start is complete.
pub(super) async fn ready() {
    let message = format!("{}\n{}", NotifyState::Ready, NotifyState::Status(READY));
    let _ = timeout(TAKEN_WITHIN, send(message)).await;
}

/// Says that the server stops.
pub(super) async fn stopping() {
    let status = NotifyState::Status("stopping; requests in progress are finished");
    let _ = timeout(TAKEN_WITHIN, send(format!("{}\n{status}", NotifyState::Stopping))).await;
}

/// Runs `reload` between the messages that it begins and that it has ended. Waits for the disk.
pub(super) fn around_reload(reload: impl FnOnce()) {
    // systemd ignores RELOADING=1 without the time at which it began.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&format!("{}\n{now}", NotifyState::Reloading));
    }
    reload();
    notify(&NotifyState::Ready.to_string());
}

/// Sends the status at each change: the progress of the start, then readiness.
pub(super) async fn report_status(app: Arc<App>) {
    if !has_manager() {
        return;
    }
    let mut shown = String::new();
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let reasons: Vec<String> =
            app.front_end.reasons_against().into_iter().map(|reason| reason.why).collect();
        let status = match &reasons[..] {
            [] => match &app.front_end.node {
                Some(node) if app.running().is_none() => node.owner.borrow().to_string(),
                _ => READY.to_owned(),
            },
            // A line feed would begin another assignment of the message.
            reasons => format!("not ready: {}", reasons.join("; ").replace('\n', " ")),
        };
        if status == shown {
            continue;
        }
        let message = NotifyState::Status(&status);
        send(match app.running() {
            Some(_) => message.to_string(),
            None => format!("{message}\n{}", NotifyState::ExtendTimeoutUsec(START_EXTENDED_BY)),
        })
        .await;
        shown = status;
    }
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
            send(NotifyState::Watchdog.to_string()).await;
        }
    }
}

fn has_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends on another thread, because a manager that hangs blocks its senders.
async fn send(message: String) {
    if has_manager() {
        let _ = spawn_blocking(move || notify(&message)).await;
    }
}

fn notify(message: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Custom(message)]) {
        tracing::debug!(%error, "service manager not reached");
    }
}
