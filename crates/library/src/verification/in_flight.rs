//! What is in flight: the limit on commands, with the share of each service in it, and the messages that further requests
//! can wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::model::{Reply, SendOutcome};
use crate::delivery::Outgoing;
use crate::domain::{Channel, GatewayName, NumberKey, ServiceId};
use crate::engine::SendOptions;
use crate::limits::guard::Charge;
use crate::shard::{Refusal, Shares};
use crate::template::MessageStyle;

/// A send leaves room for one check for each three commands of its service: a slow gateway never takes the places of checks.
const CHECKS_SHARE: usize = 3;

/// One place for each command in flight, because the shards' mailboxes have no bound of their own. A send keeps its place
/// until its gateway has answered. No service has more than half of the places while another one has any ([`Shares`]).
pub struct CommandLimit {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    commands: Shares,
    is_stopping: bool,
}

/// The place of a command, until it has its reply.
pub struct CommandPermit {
    limit: Arc<CommandLimit>,
    service: ServiceId,
}

impl CommandLimit {
    /// With so many places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if the service has used up its share, [`Refusal::Stopping`] after [`stop`](Self::stop).
    pub fn acquire(self: &Arc<Self>, service: ServiceId, is_send: bool) -> Result<CommandPermit, Refusal> {
        let mut held = self.held.lock();
        if held.is_stopping {
            return Err(Refusal::Stopping);
        }
        let for_checks = if is_send { held.commands.of(service) / CHECKS_SHARE } else { 0 };
        if held.commands.room(service, self.most) <= for_checks {
            return Err(Refusal::Overloaded);
        }
        held.commands.add(service, 1);
        drop(held);
        Ok(CommandPermit { limit: Arc::clone(self), service })
    }

    /// Commands in flight.
    pub fn in_flight(&self) -> usize {
        self.held.lock().commands.held()
    }

    /// Refuses new commands and waits for the replies of all others.
    pub async fn stop(&self) {
        self.held.lock().is_stopping = true;
        while self.in_flight() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for CommandPermit {
    fn drop(&mut self) {
        self.limit.held.lock().commands.remove(self.service, 1);
    }
}

/// Sends the reply to a command. Until then it holds the command's place, and further requests for its message wait for
/// the reply.
pub struct Responder<T> {
    first: Option<FirstRequest>,
    permit: CommandPermit,
    sender: oneshot::Sender<Result<T, Refusal>>,
}

/// Receives the reply. An error means that the shard dropped the command: its decision has panicked.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Responder<T> {
    /// Creates the sender and the receiver of one reply.
    pub fn new(permit: CommandPermit) -> (Self, PendingReply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { first: None, permit, sender }, receiver)
    }

    /// The same for the first request for a message.
    #[must_use]
    pub fn of(self, first: FirstRequest) -> Self {
        Self { first: Some(first), ..self }
    }

    /// Sends the reply. A caller that has disconnected does not change the decision.
    pub fn send(self, reply: Result<T, Refusal>) {
        let Self { first, permit, sender } = self;
        // The caller's next command finds the place free, and sends another message.
        drop((first, permit));
        let _ = sender.send(reply);
    }
}

/// The messages that are being sent, by number. A further request for the same message waits for the answer to the first
/// one, and is given it.
pub struct Messages {
    /// Requests for messages to one number that may wait for answers.
    most: usize,
    sending: Mutex<HashMap<NumberKey, Vec<(Content, Answer)>>>,
}

/// Everything about a message that its recipient can notice, whether the guard may refuse it, and the rate limits that it
/// counts for.
type Content = (
    (Option<Channel>, MessageStyle, Option<SendOptions>, Option<Zeroizing<String>>),
    (bool, bool, Vec<Charge>, Option<GatewayName>),
);

/// The answer that all who ask for one message get. An error means that it is not known how the message ended.
pub type Answer = Shared<PendingReply<Reply<SendOutcome>>>;

/// The first request for a message. When it is dropped, a further one sends another message.
pub struct FirstRequest {
    messages: Arc<Messages>,
    key: NumberKey,
    answer: Answer,
}

fn content_of(outgoing: &Outgoing) -> Content {
    let Outgoing { channel, style, options, supplied_code, has_limits, client, limits, .. } = outgoing;
    let code = supplied_code.as_ref().map(|code| Zeroizing::new(code.expose().to_owned()));
    let counted = (*has_limits, client.is_exempt, limits.clone(), outgoing.only_by());
    ((*channel, style.clone(), *options, code), counted)
}

impl Messages {
    /// With at most so many requests for messages to one number at a time.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, sending: Mutex::default() })
    }

    /// A request for a message. Returns the place of the first request for it, whose `answer` all get; `None` if the message
    /// is being sent already.
    ///
    /// # Errors
    /// [`Refusal::NumberBusy`].
    pub fn ask(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        answer: PendingReply<Reply<SendOutcome>>,
    ) -> Result<(Option<FirstRequest>, Answer), Refusal> {
        let (key, content) = (outgoing.key, content_of(outgoing));
        let mut sending = self.sending.lock();
        let messages = sending.entry(key).or_default();
        // The list and the first request hold an answer, and each request that waits for it.
        let asked = messages.iter().map(|(_, answer)| answer.strong_count().unwrap_or(2).saturating_sub(2));
        if asked.sum::<usize>() >= self.most {
            return Err(Refusal::NumberBusy);
        }
        if let Some((_, answer)) = messages.iter().find(|(other, _)| *other == content) {
            return Ok((None, answer.clone()));
        }
        let answer = answer.shared();
        messages.push((content, answer.clone()));
        let first = FirstRequest { messages: Arc::clone(self), key, answer: answer.clone() };
        Ok((Some(first), answer))
    }
}

impl Drop for FirstRequest {
    fn drop(&mut self) {
        let mut sending = self.messages.sending.lock();
        if let Some(messages) = sending.get_mut(&self.key) {
            messages.retain(|(_, answer)| !answer.ptr_eq(&self.answer));
            if messages.is_empty() {
                sending.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(n: u32) -> ServiceId {
        ServiceId::new(n)
    }

    fn taken(limit: &Arc<CommandLimit>, service: ServiceId, is_send: bool) -> Vec<CommandPermit> {
        std::iter::from_fn(|| limit.acquire(service, is_send).ok()).collect()
    }

    #[test]
    fn sends_of_a_service_leave_a_quarter_of_its_places_to_checks() {
        let limit = CommandLimit::new(8);
        let sends = taken(&limit, service(1), true);
        assert_eq!((sends.len(), limit.in_flight()), (6, 6));
        let checks = taken(&limit, service(1), false);
        assert_eq!((checks.len(), limit.in_flight()), (2, 8));
        drop(sends);
        assert!(limit.acquire(service(1), true).is_ok());
        drop(checks);
        assert_eq!(limit.in_flight(), 0);
    }
}
