//! The simulator: a gateway whose messages stay on this machine, in an inbox that people read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Accepted, BoxFuture, Gateway, GatewayError, OutgoingMessage};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Timestamp};

/// One message in the inbox. Has no `Debug`: it contains a code.
#[derive(Clone)]
pub struct InboxMessage {
    /// `SM` and 32 hex digits, as Twilio's ids look. Made up here: Twilio knows no such message.
    pub id: String,
    pub to: PhoneNumber,
    pub channel: Channel,
    pub text: Arc<str>,
    pub code: Code,
    pub received: Timestamp,
    /// The remaining lifetime of the code at that moment.
    pub valid_for: Duration,
}

/// The gateway and its inbox. Accepts everything at once.
pub struct Simulator {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    /// Messages accepted so far: makes each id different from the others.
    accepted: u64,
    /// The newest last.
    messages: VecDeque<InboxMessage>,
}

impl Simulator {
    /// Messages kept: the oldest goes when another comes.
    pub const CAPACITY: usize = 1_000;

    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        Self { clock, started, inbox: Mutex::default() }
    }

    /// The newest `limit` messages, or the newest to one number; the newest first.
    pub fn messages(&self, to: Option<PhoneNumber>, limit: usize) -> Vec<InboxMessage> {
        let inbox = self.inbox();
        let wanted = inbox.messages.iter().rev().filter(|m| to.is_none_or(|number| m.to == number));
        wanted.take(limit).cloned().collect()
    }

    /// The time that messages are stamped with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn accept(&self, message: &OutgoingMessage) -> Accepted {
        let received = self.clock.now();
        let mut inbox = self.inbox();
        inbox.accepted += 1;
        let id = simulated_id(self.started, inbox.accepted);
        if inbox.messages.len() == Self::CAPACITY {
            inbox.messages.pop_front();
        }
        inbox.messages.push_back(InboxMessage {
            id: id.clone(),
            to: message.to,
            channel: message.channel,
            text: message.text.as_str().into(),
            code: message.code.clone(),
            received,
            valid_for: message.valid_for,
        });
        Accepted { message_id: id }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every change is complete before the lock opens; a panic elsewhere spoils nothing.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway for Simulator {
    fn name(&self) -> GatewayName {
        GatewayName::Simulator
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move { Ok(self.accept(message)) })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Looks like one of Twilio's. Unique within a run and almost certainly between runs; it need not be hard to guess,
/// for it opens nothing.
fn simulated_id(started: Timestamp, serial: u64) -> String {
    let digest = Sha256::new()
        .chain_update(b"onceward/simulated message/1")
        .chain_update(started.as_millis().to_be_bytes())
        .chain_update(serial.to_be_bytes())
        .finalize();
    format!("SM{}", base16ct::lower::encode_string(&digest[..16]))
}

#[cfg(test)]
mod tests;
