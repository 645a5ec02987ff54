//! A gateway that holds messages.

use std::sync::Arc;

use onceward::domain::{Channel, GatewayName};
use onceward::gateway::{Accepted, BoxFuture, Gateway, GatewayError, OutgoingMessage};
use tokio::sync::Semaphore;

/// Holds each message until the test lets it through, and then accepts it.
#[derive(Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
    readiness: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Gate {
    pub fn closed() -> Self {
        Self::with_readiness(|| Ok(()))
    }

    pub fn with_readiness(readiness: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { arrived: none(), open: none(), readiness: Arc::new(readiness) }
    }

    /// Waits until one more message has arrived.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    pub fn let_through(&self, messages: usize) {
        self.open.add_permits(messages);
    }
}

impl Gateway for Gate {
    fn name(&self) -> GatewayName {
        GatewayName::Http
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn send<'a>(&'a self, _: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async {
            self.arrived.add_permits(1);
            self.open.acquire().await.expect("never closed").forget();
            Ok(Accepted { message_id: "SM0123".to_owned() })
        })
    }

    fn readiness(&self) -> Result<(), String> {
        (self.readiness)()
    }
}
