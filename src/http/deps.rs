//! What the front end is handed.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::connection::Tls;
use super::v2::V2;
use crate::config::{AnswerSet, Bounds};
use crate::domain::{Channel, Region};
pub use crate::gateway::CallbackKind;
use crate::gateway::Simulator;
pub use crate::node::{CallbackAnswer, CallbackRequest};
use crate::numbers::Usage;
use crate::numbers::{
    CheckOutcome, CheckRequest, Refusal, Reply, SendOptions, SendOutcome, SendRequest, Verifier,
};

/// Everything the endpoints need.
pub struct Deps<V = Verifier> {
    /// Decides sends and checks.
    pub verifier: V,
    /// Which set of answers `/api/*` gives.
    pub answers: AnswerSet,
    /// Body size, time-outs, connections.
    pub bounds: Bounds,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
    /// How long a lockout lasts; the as-built answers print it.
    pub lockout: Duration,
    /// What a code sent through `/send-code` is like.
    pub tutorial_code: SendOptions,
    /// Whether the server can do its work now, else the reasons. This and the next two are called at each request of
    /// `/readyz`, and must be cheap.
    pub readiness: Arc<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>,
    /// The health of the gateways, in the order in which they are tried.
    pub gateways: Arc<dyn Fn() -> Vec<GatewayHealth> + Send + Sync>,
    /// How many numbers are remembered and may be; `None` while they are being loaded.
    pub numbers: Arc<dyn Fn() -> Option<Usage> + Send + Sync>,
    /// The channels that a send may ask for.
    pub channels: Vec<Channel>,
    /// Takes what Twilio reports; `None` when nothing is to be reported, and the paths do not exist.
    pub callbacks: Option<Arc<dyn Callbacks>>,
    /// What `/v2` is served with, which arrives when the store is loaded: until then those routes answer 503. It is set
    /// before the verifier decides anything, for it says who may use the compatible routes.
    pub v2: Arc<OnceLock<V2>>,
    /// The simulator, whose messages `/inbox` shows; `None` when messages go to a provider.
    pub inbox: Option<Arc<Simulator>>,
    /// Host name under which `inbox` may be asked for, beside IP addresses and `localhost`: the one
    /// that is configured to listen on.
    pub host_name: Option<Arc<str>>,
    /// How connections are encrypted; `None` for cleartext.
    pub tls: Option<Arc<Tls>>,
    /// Random for each start of the program, so that request ids of two starts differ.
    pub request_id_prefix: u32,
}

/// Decides sends and checks: the [`Verifier`], or a script in tests.
pub trait Verify: Send + Sync + 'static {
    /// As [`Verifier::send`].
    fn send(&self, request: SendRequest) -> impl Future<Output = Result<Reply<SendOutcome>, Refusal>> + Send;

    /// As [`Verifier::check`].
    fn check(
        &self,
        request: CheckRequest,
    ) -> impl Future<Output = Result<Reply<CheckOutcome>, Refusal>> + Send;
}

impl Verify for Verifier {
    fn send(&self, request: SendRequest) -> impl Future<Output = Result<Reply<SendOutcome>, Refusal>> + Send {
        Self::send(self, request)
    }

    fn check(
        &self,
        request: CheckRequest,
    ) -> impl Future<Output = Result<Reply<CheckOutcome>, Refusal>> + Send {
        Self::check(self, request)
    }
}

/// One gateway's health, as `/readyz` shows it. The names of the fields are part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GatewayHealth {
    /// Its name in settings and logs.
    pub name: &'static str,
    /// Its circuit breaker: `closed` (it is used), `open` (it is left alone), `half-open` (the next
    /// message may try it).
    pub circuit: &'static str,
    /// Seconds until an open circuit lets a message through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_in_seconds: Option<u64>,
    /// The reason, for an operator. Contains no secret and no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Receives what gateways report on their own.
pub trait Callbacks: Send + Sync + 'static {
    /// Takes one report. The sender is not known yet: the receiver checks the signature.
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer>;

    /// The path of the public address, without a slash at its end: a proxy that leaves paths as they are
    /// passes it on in front of ours.
    fn path_prefix(&self) -> &str;
}
