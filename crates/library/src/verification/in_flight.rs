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

/// What is in flight: one place for each command, because the shards' mailboxes have no bound of their own, and the messages
/// that are being sent. A send keeps its place until its gateway has answered. No service has more than half of the places
/// while another one has any ([`Shares`]).
pub struct Commands {
    most: usize,
    /// Requests for messages to one number that may wait for answers.
    most_of_number: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    commands: Shares,
    /// A further request for the same message waits for the answer to the first one, and is given it.
    messages: HashMap<NumberKey, Vec<(Content, Answer)>>,
    is_stopping: bool,
}

/// Everything about a message that its recipient can notice, whether the guard may refuse it, and the rate limits that it
/// counts for.
type Content = (
    (Channel, MessageStyle, Option<SendOptions>, Option<Zeroizing<String>>),
    (bool, bool, Vec<Charge>, Option<GatewayName>),
);

/// The answer that all who ask for one message get. An error means that it is not known how the message ended.
pub type Answer = Shared<PendingReply<Reply<SendOutcome>>>;

/// The place of a command, until it has its reply.
pub struct Place {
    of: Arc<Commands>,
    service: ServiceId,
    /// The message that it is the first to ask for. Without its place, a further request sends another one.
    first_for: Option<(NumberKey, Answer)>,
}

fn content_of(outgoing: &Outgoing) -> Content {
    let Outgoing { channel, style, options, supplied_code, has_limits, client, limits, .. } = outgoing;
    let code = supplied_code.as_ref().map(|code| Zeroizing::new(code.expose().to_owned()));
    let counted = (*has_limits, client.is_exempt, limits.clone(), outgoing.only_by());
    ((*channel, style.clone(), *options, code), counted)
}

impl Commands {
    /// With so many places, and at most so many requests for messages to one number at a time.
    pub fn new(most: usize, most_of_number: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_number, state: Mutex::default() })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if the service has used up its share, [`Refusal::Stopping`] after [`stop`](Self::stop).
    pub fn acquire(self: &Arc<Self>, service: ServiceId, is_send: bool) -> Result<Place, Refusal> {
        let mut state = self.state.lock();
        if state.is_stopping {
            return Err(Refusal::Stopping);
        }
        let for_checks = if is_send { state.commands.of(service) / CHECKS_SHARE } else { 0 };
        if state.commands.room(service, self.most) <= for_checks {
            return Err(Refusal::Overloaded);
        }
        state.commands.add(service);
        Ok(Place { of: Arc::clone(self), service, first_for: None })
    }

    /// Commands in flight.
    pub fn count(&self) -> usize {
        self.state.lock().commands.held()
    }

    /// Refuses new commands and waits for the replies of all others.
    pub async fn stop(&self) {
        self.state.lock().is_stopping = true;
        while self.count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &mut *self.of.state.lock();
        state.commands.remove(self.service);
        let Some((key, own)) = &self.first_for else { return };
        if let Some(messages) = state.messages.get_mut(key) {
            messages.retain(|(_, answer)| !answer.ptr_eq(own));
            if messages.is_empty() {
                state.messages.remove(key);
            }
        }
    }
}

/// Sends the reply to a command. Until then it holds the command's place, and further requests for its message wait for
/// the reply.
pub struct Responder<T> {
    place: Option<Place>,
    sender: Option<oneshot::Sender<Result<T, Refusal>>>,
}

/// Receives the reply. An error means that the shard dropped the command: its decision has panicked.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Responder<T> {
    /// Creates the sender and the receiver of one reply.
    pub fn new(place: Place) -> (Self, PendingReply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { place: Some(place), sender: Some(sender) }, receiver)
    }

    /// Sends the reply. A caller that has disconnected does not change the decision.
    pub fn send(mut self, reply: Result<T, Refusal>) {
        self.answer(reply);
    }

    /// The same, before the end of the command. The reply at its end has no receiver then.
    pub fn answer(&mut self, reply: Result<T, Refusal>) {
        // The caller's next command finds the place free, and sends another message.
        self.place = None;
        self.sender.take().map(|sender| sender.send(reply));
    }
}

impl Responder<Reply<SendOutcome>> {
    /// Asks for a message. Returns the answer to the first request for it, and whether this is the first one.
    ///
    /// # Errors
    /// [`Refusal::NumberBusy`].
    pub fn ask(
        &mut self,
        outgoing: &Outgoing,
        answer: PendingReply<Reply<SendOutcome>>,
    ) -> Result<(Answer, bool), Refusal> {
        let Some(place) = &mut self.place else { return Err(Refusal::Stopping) };
        let (key, content, of) = (outgoing.key, content_of(outgoing), Arc::clone(&place.of));
        let mut state = of.state.lock();
        let messages = state.messages.entry(key).or_default();
        // The list and the place of the first request have one clone each, and each request that waits has one.
        let asked = messages.iter().map(|(_, answer)| answer.strong_count().unwrap_or(2).saturating_sub(2));
        if asked.sum::<usize>() >= of.most_of_number {
            return Err(Refusal::NumberBusy);
        }
        if let Some((_, answer)) = messages.iter().find(|(other, _)| *other == content) {
            return Ok((answer.clone(), false));
        }
        let answer = answer.shared();
        messages.push((content, answer.clone()));
        place.first_for = Some((key, answer.clone()));
        Ok((answer, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(n: u32) -> ServiceId {
        ServiceId::new(n)
    }

    fn taken(limit: &Arc<Commands>, service: ServiceId, is_send: bool) -> Vec<Place> {
        (0..9).map_while(|_| limit.acquire(service, is_send).ok()).collect()
    }

    #[test]
    fn sends_of_a_service_leave_a_quarter_of_its_places_to_checks() {
        let limit = Commands::new(8, 8);
        let sends = taken(&limit, service(1), true);
        assert_eq!((sends.len(), limit.count()), (6, 6));
        let checks = taken(&limit, service(1), false);
        assert_eq!((checks.len(), limit.count()), (2, 8));
        drop(sends);
        assert!(limit.acquire(service(1), true).is_ok());
        drop(checks);
        assert_eq!(limit.count(), 0);
    }
}
