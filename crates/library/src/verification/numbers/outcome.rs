//! The outcomes of carried codes, as their systems report them.

use super::verifier::Verifier;
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::limits::keys::RequestKey;
use crate::observe::metrics::{Fact, VerificationStep};
use crate::shard::Refusal;

impl Verifier {
    /// Notes that the number was verified by the code of its last carried message. Returns `false` if that code ended more
    /// than ten minutes ago, or if its outcome is known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn carried_outcome(&self, key: NumberKey, of_number: RequestKey) -> Result<bool, Refusal> {
        let guard = self.deps.guard.clone();
        let decided = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let Some(sent) = of_number.take(view) else { return Ok(None) };
            let log = AttemptLogKey::new(key.service, sent.verification, view.slot());
            let checked = AttemptLog::checked(log, VerifyStatus::Success, view);
            let mut checked = checked.map(|(_, checked)| checked).unwrap_or_default();
            let taken = std::mem::take(&mut checked.taken);
            let news = guard.as_ref().and_then(|guard| guard.record_verified(key, taken, view));
            Ok::<_, Refusal>(Some((sent.channel, checked, news)))
        });
        let Some((channel, checked, news)) = decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))? else {
            return Ok(false);
        };
        let (recipient, gateway) = (key, checked.accepted_by);
        let tried = checked.is_first.then_some(VerificationStep::Tried);
        for step in tried.into_iter().chain([VerificationStep::Approved]) {
            self.deps.metrics.count(&Fact::Verification { recipient, channel, gateway, step });
        }
        if let Some((guard, news)) = self.deps.guard.as_ref().zip(news) {
            guard.learn(key, news);
        }
        Ok(true)
    }
}
