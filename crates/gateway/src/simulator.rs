//! The simulator: a gateway whose messages stay on this machine, in an inbox that people read.
//!
//! Messages to some numbers fail, as a provider or a handset would, for tests of the paths that follow an error.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::provider::CodeClass;
use super::twilio::{class_of_report, known_code};
use super::{Accepted, Gateway, GatewayError, OutgoingMessage, Receipt, ReceiptStatus};
use crate::clock::Clock;
use crate::domain::{AttemptId, Channel, Code, GatewayName, PhoneNumber, Timestamp};

/// One message in the inbox. Has no `Debug`: it contains a code.
#[derive(Clone)]
pub struct InboxMessage {
    /// `SM` and 32 hex digits, as Twilio's ids look. Made up here: Twilio knows no such message.
    pub id: String,
    pub to: PhoneNumber,
    pub channel: Channel,
    pub text: Arc<str>,
    pub code: Code,
    /// When it arrived.
    pub received: Timestamp,
    /// When the code expires.
    pub expires: Timestamp,
    pub attempt: AttemptId,
}

/// The fault of messages to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The provider refuses with this error code of Twilio's.
    Refused(u32),
    /// The same for texts, but calls arrive.
    RefusedText(u32),
    /// The provider never answers.
    Silent,
    /// The provider accepts the message and later reports that it did not arrive.
    Undelivered,
}

/// Twilio's error code of messages that do not arrive.
const UNREACHABLE: u32 = 30_003;

/// The numbers with faults, and what a person is told of each. The first five behave as with Twilio's test credentials.
const FAULTS: [(u64, Fault, &str); 7] = [
    (15_005_550_001, Fault::Refused(21_211), "the number does not exist"),
    (15_005_550_002, Fault::Refused(21_612), "no route leads to the number"),
    (15_005_550_003, Fault::Refused(21_408), "the account may not send to this country"),
    (15_005_550_004, Fault::RefusedText(21_610), "the recipient has opted out: calls arrive, texts do not"),
    (15_005_550_009, Fault::RefusedText(21_614), "a landline: calls arrive, texts do not"),
    (15_005_550_011, Fault::Silent, "the provider never answers"),
    (15_005_550_013, Fault::Undelivered, "the message does not arrive, which the provider reports"),
];

/// The gateway and its inbox.
pub struct Simulator {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    inbox: Mutex<Inbox>,
    receipts: mpsc::Sender<Receipt>,
    /// Until it is taken.
    receiver: Mutex<Option<mpsc::Receiver<Receipt>>>,
}

#[derive(Default)]
struct Inbox {
    /// Messages accepted so far: makes each id different from the others.
    accepted: u64,
    /// In the order in which they were accepted.
    messages: VecDeque<InboxMessage>,
}

impl Simulator {
    /// Messages kept: the oldest goes when another comes.
    pub const CAPACITY: usize = 1_000;

    /// Receipts that wait to be recorded. Further ones are lost.
    const RECEIPTS: usize = 1_000;

    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        let (receipts, receiver) = mpsc::channel(Self::RECEIPTS);
        let receiver = Mutex::new(Some(receiver));
        Self { clock, started, inbox: Mutex::default(), receipts, receiver }
    }

    /// The numbers with faults, and what is wrong with each.
    pub fn faults() -> impl Iterator<Item = (u64, &'static str)> {
        FAULTS.iter().map(|(number, _, words)| (*number, *words))
    }

    /// The newest `limit` messages, or the newest to one number; the newest first.
    pub fn messages(&self, to: Option<PhoneNumber>, limit: usize) -> Vec<InboxMessage> {
        let inbox = self.inbox.lock();
        let newest = inbox.messages.iter().rev();
        newest.filter(|message| to.is_none_or(|number| message.to == number)).take(limit).cloned().collect()
    }

    /// The time that messages are stamped with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The reports of what became of messages; `None` the second time.
    pub fn receipts(&self) -> Option<mpsc::Receiver<Receipt>> {
        self.receiver.lock().take()
    }

    fn accept(&self, message: &OutgoingMessage) -> Accepted {
        let (now, attempt) = (self.clock.now(), message.attempt);
        let mut inbox = self.inbox.lock();
        let id = self.next_id(&mut inbox);
        let expires = now.plus(message.valid_for);
        // A repeated message may prolong the life of the code.
        for other in inbox.messages.iter_mut().filter(|other| other.attempt.key == attempt.key) {
            other.expires = other.expires.max(expires);
        }
        if inbox.messages.len() == Self::CAPACITY {
            inbox.messages.pop_front();
        }
        inbox.messages.push_back(InboxMessage {
            id: id.clone(),
            to: message.to,
            channel: message.channel,
            text: message.text.as_str().into(),
            code: message.code.clone(),
            received: now,
            expires,
            attempt,
        });
        Accepted { message_id: id }
    }

    /// Accepts a message that never arrives.
    fn lose(&self, message: &OutgoingMessage) -> Accepted {
        let id = self.next_id(&mut self.inbox.lock());
        let receipt = Receipt {
            attempt: message.attempt,
            gateway: None,
            message_id: id.clone(),
            status: ReceiptStatus::Failed,
            code: Some(UNREACHABLE),
            class: Some(class_of_report(UNREACHABLE)),
            said: None,
        };
        // The simulator never waits: without a place the receipt is lost, as a provider's may be.
        let _ = self.receipts.try_send(receipt);
        Accepted { message_id: id }
    }

    /// Looks like one of Twilio's. Unique within a run and almost certainly between runs; it need not be hard to guess,
    /// for it opens nothing.
    fn next_id(&self, inbox: &mut Inbox) -> String {
        inbox.accepted += 1;
        format!("SM{:016x}{:016x}", self.started.as_millis(), inbox.accepted)
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
        Box::pin(async move {
            let is_call = message.channel == Channel::Call;
            let fault = FAULTS.iter().find(|(number, ..)| *number == message.to.as_u64());
            match fault {
                Some((_, Fault::Silent, _)) => std::future::pending().await,
                Some((_, Fault::Undelivered, _)) => Ok(self.lose(message)),
                None => Ok(self.accept(message)),
                Some((_, Fault::RefusedText(_), _)) if is_call => Ok(self.accept(message)),
                Some((_, Fault::Refused(code) | Fault::RefusedText(code), words)) => {
                    let (class, _) = known_code(*code).unwrap_or((CodeClass::Refused, ""));
                    Err(class.error(self.name(), Some(*code), format!("simulates an error: {words}")))
                }
            }
        })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
