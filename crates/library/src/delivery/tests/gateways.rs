//! Gateways that follow a test's script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Timestamp};
use crate::gateway::{
    Accepted, BoxFuture, Callback, CodeEnd, ErrorClass, Gateway, GatewayError, OutgoingMessage, Verdict,
};

/// One answer, and when. An error has its class, and whether every message would meet it.
#[derive(Debug, Clone)]
pub struct Scripted<T = String> {
    delay: Duration,
    result: Result<T, (ErrorClass, bool)>,
}

/// Accepts the message.
pub fn accepted(id: &str) -> Scripted {
    Scripted { delay: Duration::ZERO, result: Ok(id.to_owned()) }
}

/// Refuses this message only.
pub fn error(class: ErrorClass) -> Scripted {
    Scripted { delay: Duration::ZERO, result: Err((class, false)) }
}

/// Would refuse every message.
pub fn down(class: ErrorClass) -> Scripted {
    Scripted { delay: Duration::ZERO, result: Err((class, true)) }
}

/// Answers long after every budget has ended.
pub fn hanging() -> Scripted {
    accepted("too late").after_ms(3_600_000)
}

impl<T> Scripted<T> {
    pub fn after_ms(self, delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..self }
    }

    async fn play(self, gateway: GatewayName) -> Result<T, GatewayError> {
        sleep(self.delay).await;
        let detail = "was told to fail".to_owned();
        self.result.map_err(|(class, whole_gateway)| GatewayError {
            gateway,
            class,
            code: Some(7),
            detail,
            whole_gateway,
        })
    }
}

/// A message that a gateway received, and the time.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at_ms: u128,
    pub by: GatewayName,
    pub channel: Channel,
    pub to: PhoneNumber,
    pub text: String,
    pub code: String,
    pub valid_for: Duration,
    pub callback: Option<Callback>,
}

/// The requests to all gateways of a test, in their order.
pub type Record = Arc<Mutex<Vec<Sent>>>;

/// A gateway with a script. A request after the script's end fails the test.
pub struct ScriptedGateway {
    name: GatewayName,
    clock: Arc<TokioClock>,
    record: Record,
    sends: Mutex<VecDeque<Scripted>>,
    checks: Mutex<VecDeque<Scripted<Verdict>>>,
    pub reported: Mutex<Vec<String>>,
    pub unready: Mutex<Option<String>>,
}

impl ScriptedGateway {
    pub fn new(name: GatewayName, clock: Arc<TokioClock>, record: Record) -> Self {
        let (sends, checks) = Default::default();
        Self { name, clock, record, sends, checks, reported: Mutex::default(), unready: Mutex::default() }
    }

    pub fn answers(&self, script: impl IntoIterator<Item = Scripted>) {
        self.sends.lock().expect("the script").extend(script);
    }

    pub fn checks(&self, after_ms: u64, result: Result<Verdict, (ErrorClass, bool)>) {
        let answer = Scripted { delay: Duration::ZERO, result }.after_ms(after_ms);
        self.checks.lock().expect("the script").push_back(answer);
    }
}

impl Gateway for ScriptedGateway {
    fn name(&self) -> GatewayName {
        self.name
    }

    /// The real one's.
    fn channels(&self) -> &[Channel] {
        match self.name {
            GatewayName::Simulator | GatewayName::TwilioVerify => &Channel::ALL,
            GatewayName::TwilioMessages => &[Channel::Sms, Channel::WhatsApp],
            GatewayName::TwilioVoice => &[Channel::Call],
            GatewayName::Sinch => &[Channel::Sms, Channel::Call],
            _ => &[Channel::Sms],
        }
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            self.record.lock().expect("the record").push(Sent {
                at_ms: self.clock.elapsed().as_millis(),
                by: self.name,
                channel: message.channel,
                to: message.to,
                text: message.text.clone(),
                code: message.code.expose().to_owned(),
                valid_for: message.valid_for,
                callback: message.callback.clone(),
            });
            let next = self.sends.lock().expect("the script").pop_front();
            let answer =
                next.unwrap_or_else(|| panic!("{} was asked more often than its script says", self.name));
            answer.play(self.name).await.map(|message_id| Accepted { message_id })
        })
    }

    fn holds_codes(&self) -> bool {
        matches!(self.name, GatewayName::TwilioVerify | GatewayName::Sinch)
    }

    fn wants_code_ends(&self) -> bool {
        true
    }

    fn report_code_end<'a>(
        &'a self,
        message_id: &'a str,
        _end: CodeEnd,
    ) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async move {
            self.reported.lock().expect("the record").push(message_id.to_owned());
            let next = self.sends.lock().expect("the script").pop_front();
            if let Some(answer) = next { answer.play(self.name).await.map(drop) } else { Ok(()) }
        })
    }

    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            assert_eq!((to, channel, code.expose()), (super::world::number(), Channel::Sms, "012345"));
            let next = self.checks.lock().expect("the script").pop_front();
            next.expect("a script for this check").play(self.name).await
        })
    }

    fn readiness(&self) -> Result<(), String> {
        self.unready.lock().expect("the reason").clone().map_or(Ok(()), Err)
    }
}

/// A wall clock that moves with tokio's.
pub struct TokioClock(Instant);

impl TokioClock {
    pub const EPOCH: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[expect(clippy::disallowed_methods, reason = "tokio's paused time is the injected one here")]
    pub fn starting_now() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Self::EPOCH.plus(self.elapsed())
    }
}
