//! A verifier with scripted answers that records its calls.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onceward::domain::{Channel, Timestamp};
use onceward::engine::SendOptions;
use onceward::gateway::BoxFuture;
use onceward::http::{GatewayHealth, Node};
use onceward::node::Unready;
use onceward::template::MessageStyle;
use onceward::verification::numbers::{Check, CheckOutcome, Outgoing, Refusal, Reply, SendOutcome};
use tokio::sync::Semaphore;

/// A call of the script, with readable secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Send { number: String, options: Option<SendOptions>, channel: Option<Channel>, style: MessageStyle },
    Check { number: String, code: Option<String> },
}

/// One answer for all sends and one for all checks. Panics without an answer.
#[derive(Clone, Default)]
pub struct Script {
    send: Option<Result<SendOutcome, Refusal>>,
    check: Option<Result<CheckOutcome, Refusal>>,
    gate: Option<Gate>,
    asked: Arc<Mutex<Vec<Call>>>,
}

impl Script {
    pub fn sends(answer: SendOutcome) -> Self {
        Self { send: Some(Ok(answer)), ..Self::default() }
    }

    pub fn checks(answer: CheckOutcome) -> Self {
        Self { check: Some(Ok(answer)), ..Self::default() }
    }

    pub fn refuses(refusal: Refusal) -> Self {
        Self { send: Some(Err(refusal)), check: Some(Err(refusal)), ..Self::default() }
    }

    pub fn panics() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn or_checks(self, answer: CheckOutcome) -> Self {
        Self { check: Some(Ok(answer)), ..self }
    }

    /// Holds each command until the gate lets it through.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    pub fn asked(&self) -> Vec<Call> {
        self.calls().clone()
    }

    /// The calls since the last time.
    pub fn take_asked(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls())
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.asked.lock().expect("not poisoned")
    }

    async fn note(&self, asked: Call) {
        self.calls().push(asked);
        if let Some(gate) = &self.gate {
            gate.arrived.add_permits(1);
            let _leaves = Leaves(gate);
            gate.open.acquire().await.expect("never closed").forget();
        }
    }
}

/// A node that answers as the script says.
pub(crate) struct ScriptedNode {
    pub script: Script,
    pub readiness: Result<(), Vec<String>>,
    pub gateways: Vec<GatewayHealth>,
}

impl Node for ScriptedNode {
    fn send(&self, outgoing: Box<Outgoing>) -> BoxFuture<'_, Result<Reply<SendOutcome>, Refusal>> {
        let Outgoing { key, options, channel, style, .. } = *outgoing;
        Box::pin(async move {
            self.script.note(Call::Send { number: key.number.e164(), options, channel, style }).await;
            let outcome = self.script.send.clone().expect("no answer in the script")?;
            Ok(Reply::new(outcome, Timestamp::EPOCH, None))
        })
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Result<Reply<CheckOutcome>, Refusal>> {
        let code = check.code.map(|code| code.expose().to_owned());
        Box::pin(async move {
            self.script.note(Call::Check { number: check.key.number.e164(), code }).await;
            let outcome = self.script.check.expect("no answer in the script")?;
            Ok(Reply::new(outcome, Timestamp::EPOCH, None))
        })
    }

    fn reasons_against(&self) -> Vec<Unready> {
        let reasons = self.readiness.clone().err().unwrap_or_default();
        reasons.into_iter().map(|why| Unready { part: "store", why }).collect()
    }

    fn gateways(&self) -> Vec<GatewayHealth> {
        self.gateways.clone()
    }
}

pub fn sent() -> SendOutcome {
    SendOutcome::Sent { attempts_left: 5, message_id: "SM0123".to_owned(), postponed: false }
}

/// The end of a lockout with this time left when the script answers.
pub fn until(remaining: Duration) -> Timestamp {
    Timestamp::EPOCH.plus(remaining)
}

/// Holds commands until the test lets them through.
#[derive(Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
    left: Arc<Semaphore>,
}

/// Records that a command has left the gate, let through or dropped.
struct Leaves<'a>(&'a Gate);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.left.add_permits(1);
    }
}

impl Gate {
    pub fn closed() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { arrived: none(), open: none(), left: none() }
    }

    /// Waits until one more command has arrived.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    /// Waits until one more command has left, let through or dropped.
    pub async fn departure(&self) {
        self.left.acquire().await.expect("never closed").forget();
    }

    pub fn let_through(&self, commands: usize) {
        self.open.add_permits(commands);
    }
}
