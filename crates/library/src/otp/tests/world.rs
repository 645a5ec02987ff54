//! An engine in its own directory with a stopped clock, and a gateway with a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::otp::{
    Accepted, BoxFuture, Callback, Channel, Code, ErrorClass, Gateway, GatewayError, GatewayName,
    ManualClock, Otp, OtpBuilder, OutgoingMessage, PhoneNumber, Timestamp, Verdict,
};

pub const ANNA: &str = "+14155550123";

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub struct World {
    pub directory: TempDir,
    pub clock: Arc<ManualClock>,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        Self { directory: tempfile::tempdir().expect("a directory"), clock }
    }

    pub fn builder(&self) -> OtpBuilder {
        Otp::builder(self.directory.path()).clock(self.clock.clone()).set("shards", 2)
    }

    pub async fn start(&self) -> Otp {
        self.builder().start().await.expect("an engine")
    }
}

/// The last code in the inbox.
pub fn code(otp: &Otp) -> String {
    otp.inbox_code(ANNA).expect("a code in the inbox")
}

/// A code that differs in its last digit.
pub fn wrong(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    format!("{head}{}", u8::from(last == "0"))
}

/// The parts of a message that tests read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub to: String,
    pub channel: Channel,
    pub text: String,
    pub code: String,
    pub callback: Option<Callback>,
}

/// Accepts messages, except as its script says.
pub struct Own {
    name: GatewayName,
    channels: Vec<Channel>,
    errors: Mutex<VecDeque<ErrorClass>>,
    sent: Mutex<Vec<SentMessage>>,
    verdicts: Option<Mutex<VecDeque<Result<Verdict, ErrorClass>>>>,
    checked: Mutex<Vec<String>>,
    told: Mutex<Option<oneshot::Sender<String>>>,
}

impl Own {
    pub fn new(name: GatewayName) -> Self {
        Self {
            name,
            channels: vec![Channel::Sms],
            errors: Mutex::default(),
            sent: Mutex::default(),
            verdicts: None,
            checked: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Reports the code of the first accepted message.
    pub fn telling(self) -> (Self, oneshot::Receiver<String>) {
        let (told, code) = oneshot::channel();
        (Self { told: Mutex::new(Some(told)), ..self }, code)
    }

    pub fn serving(mut self, channels: &[Channel]) -> Self {
        self.channels = channels.to_vec();
        self
    }

    /// Fails in these ways before it accepts a message.
    pub fn failing(self, errors: impl IntoIterator<Item = ErrorClass>) -> Self {
        Self { errors: Mutex::new(errors.into_iter().collect()), ..self }
    }

    /// Holds codes itself, and gives these verdicts.
    pub fn with_verdicts(self, verdicts: impl IntoIterator<Item = Result<Verdict, ErrorClass>>) -> Self {
        Self { verdicts: Some(Mutex::new(verdicts.into_iter().collect())), ..self }
    }

    pub fn sent(&self) -> Vec<SentMessage> {
        self.sent.lock().expect("not poisoned").clone()
    }

    pub fn checked(&self) -> Vec<String> {
        self.checked.lock().expect("not poisoned").clone()
    }

    fn error(&self, class: ErrorClass) -> GatewayError {
        let detail = "follows its script".to_owned();
        GatewayError { gateway: self.name, class, code: None, detail, whole_gateway: false }
    }
}

impl Gateway for Own {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            if let Some(class) = self.errors.lock().expect("not poisoned").pop_front() {
                return Err(self.error(class));
            }
            if let Some(told) = self.told.lock().expect("not poisoned").take() {
                let _ = told.send(message.code.expose().to_owned());
            }
            let mut sent = self.sent.lock().expect("not poisoned");
            sent.push(SentMessage {
                to: message.to.e164(),
                channel: message.channel,
                text: message.text.clone(),
                code: message.code.expose().to_owned(),
                callback: message.callback.clone(),
            });
            Ok(Accepted { message_id: format!("{}-{}", self.name, sent.len()) })
        })
    }

    fn holds_codes(&self) -> bool {
        self.verdicts.is_some()
    }

    fn check<'a>(
        &'a self,
        _to: PhoneNumber,
        _channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            self.checked.lock().expect("not poisoned").push(code.expose().to_owned());
            let verdicts = self.verdicts.as_ref().expect("a gateway that holds codes");
            let verdict = verdicts.lock().expect("not poisoned").pop_front().expect("a verdict");
            verdict.map_err(|class| self.error(class))
        })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}
