//! What Twilio's answers say about the account, for `/readyz`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::twilio_codes::{CREDENTIALS, SUSPENDED, words_for};
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::GatewayError;

/// How long a refusal of the account speaks against it. Then the server calls itself ready again,
/// for behind a load balancer only a ready server gets the send that can prove the account mended.
const SPEAKS_FOR: Duration = Duration::from_secs(60);

/// The last telling answer about the account: sends of all numbers fail until an operator mends it,
/// and the first one that works proves that it is mended.
#[derive(Default)]
pub(super) struct AccountStanding {
    /// When the account was last refused, in milliseconds; 0 when it is good.
    refused_at: AtomicU64,
    /// Twilio's code for that refusal.
    code: AtomicU64,
}

impl AccountStanding {
    pub(super) fn learn_from<T>(&self, result: &Result<T, GatewayError>, now: impl FnOnce() -> Timestamp) {
        match result {
            // Nearly always good already: a plain read keeps the cache line shared between the cores.
            Ok(_) if self.refused_at.load(Ordering::Relaxed) == 0 => {}
            Ok(_) => self.refused_at.store(0, Ordering::Relaxed),
            Err(GatewayError { code: Some(code @ (CREDENTIALS | SUSPENDED)), .. }) => {
                self.code.store(u64::from(*code), Ordering::Relaxed);
                self.refused_at.store(now().as_millis().max(1), Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    pub(super) fn readiness(&self, gateway: GatewayName, now: Timestamp) -> Result<(), String> {
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        if refused_at == 0 || now >= Timestamp::from_millis(refused_at).plus(SPEAKS_FOR) {
            return Ok(());
        }
        let code = u32::try_from(self.code.load(Ordering::Relaxed)).unwrap_or_default();
        let words = words_for(code).unwrap_or_default();
        Err(format!("{gateway} refused the last request: {words} (code {code})"))
    }
}
