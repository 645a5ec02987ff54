//! What the HTTP layer is given: a verifier that may not be there yet, readiness, and pages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::file_limit;
use crate::config::{Bounds, Settings};
use crate::domain::Channel;
use crate::gateway::{Gateway, Simulator};
use crate::http::{Deps, InboxPages, Pages, Readiness, Verify};
use crate::shard::{CheckAnswer, CheckRequest, Refusal, SendAnswer, SendRequest, Verifier};
use crate::store::Store;

/// A verifier that arrives when the store is loaded. Until then every command is refused.
#[derive(Clone, Default)]
pub struct LateVerifier(Arc<OnceLock<Verifier>>);

impl LateVerifier {
    /// The verifier has arrived.
    pub fn set(&self, verifier: Verifier) {
        let _ = self.0.set(verifier);
    }

    /// The verifier, if it has arrived.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.0.get()
    }
}

impl Verify for LateVerifier {
    async fn send(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        match self.verifier() {
            Some(verifier) => verifier.send(request).await,
            None => Err(Refusal::Stopping),
        }
    }

    async fn check(&self, request: CheckRequest) -> Result<CheckAnswer, Refusal> {
        match self.verifier() {
            Some(verifier) => verifier.check(request).await,
            None => Err(Refusal::Stopping),
        }
    }
}

/// Collects every reason for not being ready.
pub fn readiness(
    verifier: &LateVerifier,
    store: &Arc<OnceLock<Arc<dyn Store>>>,
    gateway: &Arc<dyn Gateway>,
    stopping: &Arc<AtomicBool>,
) -> Readiness {
    let (verifier, store) = (verifier.clone(), Arc::clone(store));
    let (gateway, stopping) = (Arc::clone(gateway), Arc::clone(stopping));
    Arc::new(move || {
        let mut reasons = Vec::new();
        if stopping.load(Ordering::Relaxed) {
            reasons.push("the server is stopping".to_owned());
        }
        match (verifier.verifier(), store.get()) {
            (Some(verifier), Some(store)) => {
                reasons.extend(store.health().err());
                if !verifier.is_ready() {
                    reasons.push("a shard is restarting from the store".to_owned());
                }
            }
            _ => reasons.push("the store is being loaded".to_owned()),
        }
        reasons.extend(gateway.readiness().err());
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    })
}

/// The front end's parts.
pub fn deps(
    settings: &Settings,
    verifier: LateVerifier,
    readiness: Readiness,
    simulator: Option<Arc<Simulator>>,
    request_id_prefix: u32,
) -> Deps<LateVerifier> {
    Deps {
        verifier,
        answers: settings.answers,
        bounds: Bounds { connections: file_limit::connections(&settings.bounds), ..settings.bounds.clone() },
        default_region: settings.default_region,
        lockout: settings.policy.lockout,
        tutorial_code: settings.tutorial_code,
        readiness,
        gateways: Arc::new(Vec::new),
        channels: vec![Channel::Sms],
        callbacks: None,
        pages: simulator
            .map(|simulator| Arc::new(InboxPages::new(simulator, settings.default_region)) as Arc<dyn Pages>),
        host_name: Some(settings.listen.host.as_str().into()),
        request_id_prefix,
    }
}
