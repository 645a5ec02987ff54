//! The double of providers: it records the messages of all its gateways, and answers as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::domain::{Channel, Code, GatewayName, PhoneNumber};
use crate::gateway::{Accepted, BoxFuture, Callback, ErrorClass, Gateway, GatewayError, OutgoingMessage};

/// A message that a gateway received.
#[derive(Debug, Clone)]
pub struct Handed {
    pub by: GatewayName,
    pub channel: Channel,
    pub to: PhoneNumber,
    pub text: String,
    pub code: String,
    pub callback: Option<Callback>,
}

/// The provider behind every gateway, which records the messages in their order.
#[derive(Clone, Default)]
pub struct FakeProvider {
    handed: Arc<Mutex<Vec<Handed>>>,
    plan: Arc<Mutex<VecDeque<ErrorClass>>>,
    arrivals: Arc<watch::Sender<usize>>,
    hangs: Arc<watch::Sender<Hangs>>,
}

/// Which gateways do not answer.
type Hangs = Option<fn(GatewayName) -> bool>;

impl FakeProvider {
    /// A gateway for every channel.
    pub fn gateway(&self, name: GatewayName) -> Arc<dyn Gateway> {
        self.gateway_for(name, &Channel::ALL)
    }

    pub fn gateway_for(&self, name: GatewayName, channels: &'static [Channel]) -> Arc<dyn Gateway> {
        Arc::new(FakeGateway { name, channels, provider: self.clone() })
    }

    pub fn handed(&self) -> Vec<Handed> {
        self.handed.lock().expect("the record").clone()
    }

    /// The code in the last message to a number.
    pub fn code_for(&self, to: PhoneNumber) -> Code {
        let handed = self.handed().into_iter().rev().find(|handed| handed.to == to);
        Code::parse(&handed.expect("a message").code).expect("a code")
    }

    /// The next message fails with this class.
    pub fn fails_with(&self, class: ErrorClass) {
        self.plan.lock().expect("the plan").push_back(class);
    }

    /// With `true`, no later message is answered until a call with `false`.
    pub fn hangs(&self, hangs: bool) {
        self.hangs.send_replace(if hangs { Some(|_| true) } else { None });
    }

    /// These gateways answer no later message.
    pub fn hangs_at(&self, gateways: fn(GatewayName) -> bool) {
        self.hangs.send_replace(Some(gateways));
    }

    /// Waits until `messages` messages have arrived.
    pub async fn arrived(&self, messages: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|arrived| *arrived >= messages).await.expect("the provider is there");
    }
}

struct FakeGateway {
    name: GatewayName,
    channels: &'static [Channel],
    provider: FakeProvider,
}

impl Gateway for FakeGateway {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        self.channels
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let FakeProvider { handed, plan, arrivals, hangs } = &self.provider;
            let count = {
                let mut handed = handed.lock().expect("the record");
                handed.push(Handed {
                    by: self.name,
                    channel: message.channel,
                    to: message.to,
                    text: message.text.clone(),
                    code: message.code.expose().to_owned(),
                    callback: message.callback.clone(),
                });
                handed.len()
            };
            arrivals.send_replace(count);
            let answers = |hangs: &Hangs| hangs.is_none_or(|hangs| !hangs(self.name));
            hangs.subscribe().wait_for(answers).await.expect("the provider is there");
            let Some(class) = plan.lock().expect("the plan").pop_front() else {
                return Ok(Accepted { message_id: format!("{}-{count}", self.name) });
            };
            let detail = "was told to fail".to_owned();
            Err(GatewayError { gateway: self.name, class, code: None, detail, whole_gateway: false })
        })
    }

    fn holds_codes(&self) -> bool {
        self.name == GatewayName::TwilioVerify
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}
