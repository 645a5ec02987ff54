//! What a provider's answers say about our account with it, for `/readyz`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::gateway::{ErrorClass, GatewayError};

/// How long a refusal of the account speaks against it. Then the server calls itself ready again,
/// for behind a load balancer only a ready server gets the send that can prove the account mended.
const SPEAKS_FOR: Duration = Duration::from_secs(60);

/// The last telling answer about the account: sends of all numbers fail until an operator mends it,
/// and the first one that works proves that it is mended.
///
/// Every send passes here. While the account is good that costs one relaxed load, which lets all
/// cores keep the cache line.
pub(in crate::gateway) struct Standing {
    clock: Arc<dyn Clock>,
    refuses_account: fn(&GatewayError) -> bool,
    /// Whether there is a refusal to look at; changes only while the refusal is locked.
    refused: AtomicBool,
    refusal: Mutex<Option<(Timestamp, String)>>,
}

impl Standing {
    /// For a provider of which we know no better than that what an operator must mend, and every
    /// message meets, is the account.
    pub(in crate::gateway) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::by(clock, |error| error.whole_gateway && error.class == ErrorClass::Configuration)
    }

    /// For a provider that tells a refused account from other mistakes.
    pub(in crate::gateway) fn by(clock: Arc<dyn Clock>, refuses_account: fn(&GatewayError) -> bool) -> Self {
        Self { clock, refuses_account, refused: AtomicBool::new(false), refusal: Mutex::new(None) }
    }

    /// Takes note of an outcome and hands it on.
    pub(in crate::gateway) fn learn<T>(&self, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
        match &outcome {
            Ok(_) if self.refused.load(Ordering::Relaxed) => self.note(None),
            Err(error) if (self.refuses_account)(error) => {
                self.note(Some((self.clock.now(), error.to_string())));
            }
            _ => {}
        }
        outcome
    }

    pub(in crate::gateway) fn readiness(&self) -> Result<(), String> {
        if !self.refused.load(Ordering::Relaxed) {
            return Ok(());
        }
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, reason)) if self.clock.now() < at.plus(SPEAKS_FOR) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn note(&self, refusal: Option<(Timestamp, String)>) {
        // Nothing here can panic, so that a poisoned lock holds nothing half done.
        let mut noted = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        self.refused.store(refusal.is_some(), Ordering::Relaxed);
        *noted = refusal;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::GatewayName;
    use crate::gateway::wire::Meaning;

    #[test]
    fn a_refused_account_is_not_ready_until_a_send_works_or_a_minute_has_passed() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
        let standing = Standing::new(clock.clone());
        let refused = || Err::<(), _>(error(Meaning::of_the_gateway(ErrorClass::Configuration)));
        assert_eq!(standing.readiness(), Ok(()));

        let _ = standing.learn(refused());
        let reason = standing.readiness().expect_err("not ready");
        assert_eq!(reason, "Mada refused the account (class Configuration, code 14)");
        let _ = standing.learn(Ok(()));
        assert_eq!(standing.readiness(), Ok(()));

        let _ = standing.learn(refused());
        clock.advance(Duration::from_millis(59_999));
        assert!(standing.readiness().is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(standing.readiness(), Ok(()));
    }

    #[test]
    fn what_one_message_met_says_nothing_about_the_account() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
        let standing = Standing::new(clock);
        for meaning in [
            Meaning::of_this_message(ErrorClass::Configuration),
            Meaning::of_the_gateway(ErrorClass::Ambiguous),
            Meaning::of_the_gateway(ErrorClass::Retry { after: None }),
        ] {
            let _ = standing.learn(Err::<(), _>(error(meaning)));
            assert_eq!(standing.readiness(), Ok(()));
        }
    }

    #[test]
    fn a_provider_with_codes_for_a_refused_account_is_judged_by_these_alone() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
        let meaning = Meaning::of_the_gateway(ErrorClass::Configuration);
        let standing = Standing::by(clock.clone(), |error| error.code == Some(13));
        let _ = standing.learn(Err::<(), _>(error(meaning)));
        assert_eq!(standing.readiness(), Ok(()));
        let standing = Standing::by(clock, |error| error.code == Some(14));
        let _ = standing.learn(Err::<(), _>(error(meaning)));
        assert!(standing.readiness().is_err());
    }

    fn error(meaning: Meaning) -> GatewayError {
        meaning.error(GatewayName::Mada, Some(14), "refused the account".to_owned())
    }
}
