//! The limit on commands in flight, and the share of each service in it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::domain::ServiceId;
use crate::shard::{Refusal, Shares};

/// A quarter of a service's commands is reserved for checks: a slow gateway never takes their places.
const CHECKS_SHARE: usize = 4;

/// One place for each command in flight, because ractor's mailboxes have no bound of their own. Each service has its
/// share ([`Shares`]): commands that hang at a gateway take no place of another service.
pub struct CommandLimit {
    /// Places of one service.
    most: usize,
    /// Of these, places of sends.
    most_sends: usize,
    held: Mutex<Held>,
    /// Every place. Closed by a stop.
    places: Arc<Semaphore>,
    all: u32,
}

#[derive(Default)]
struct Held {
    commands: Shares,
    sends: Shares,
}

/// The place of a command, until it has its reply.
pub struct CommandPermit {
    limit: Arc<CommandLimit>,
    service: ServiceId,
    is_send: bool,
    _place: OwnedSemaphorePermit,
}

impl CommandLimit {
    /// `most`: the commands of one service. All services together may have a quarter more.
    pub fn new(most: usize) -> Arc<Self> {
        let all = most.saturating_add(most / 4 + 1).min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        Arc::new(Self {
            most,
            most_sends: most - most / CHECKS_SHARE,
            held: Mutex::default(),
            places: Arc::new(Semaphore::new(all as usize)),
            all,
        })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if the service has used up its share, [`Refusal::Stopping`] after [`stop`](Self::stop).
    pub fn acquire(self: &Arc<Self>, service: ServiceId, is_send: bool) -> Result<CommandPermit, Refusal> {
        let mut held = self.held();
        let is_full = held.commands.room(service, self.most) == 0
            || (is_send && held.sends.room(service, self.most_sends) == 0);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = match place {
            Err(TryAcquireError::Closed) => return Err(Refusal::Stopping),
            Ok(place) if !is_full => place,
            Ok(_) | Err(TryAcquireError::NoPermits) => return Err(Refusal::Overloaded),
        };
        held.commands.add(service, 1);
        held.sends.add(service, usize::from(is_send));
        drop(held);
        Ok(CommandPermit { limit: Arc::clone(self), service, is_send, _place: place })
    }

    /// Commands in flight.
    pub fn in_flight(&self) -> usize {
        self.held().commands.held()
    }

    /// Refuses new commands and waits for the replies of all others.
    pub async fn stop(&self) {
        let all = self.places.acquire_many(self.all).await;
        self.places.close();
        drop(all);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CommandPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandPermit").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Drop for CommandPermit {
    fn drop(&mut self) {
        let mut held = self.limit.held();
        held.commands.remove(self.service, 1);
        held.sends.remove(self.service, usize::from(self.is_send));
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

    #[test]
    fn checks_of_one_service_take_no_place_of_another() {
        let limit = CommandLimit::new(200);
        let hanging = taken(&limit, service(1), false);
        assert_eq!(hanging.len(), 200);
        assert_eq!(taken(&limit, service(2), true).len(), 40);
    }

    #[tokio::test]
    async fn a_stop_waits_for_replies_and_refuses_further_commands() {
        let limit = CommandLimit::new(1);
        let permit = limit.acquire(service(1), true).expect("a place");
        let stopping = Arc::clone(&limit);
        let stopped = tokio::spawn(async move { stopping.stop().await });
        tokio::task::yield_now().await;
        assert!(!stopped.is_finished());
        drop(permit);
        stopped.await.expect("a stop");
        assert!(matches!(limit.acquire(service(1), true), Err(Refusal::Stopping)));
    }
}
