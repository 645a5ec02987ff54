//! In which order answers left a shard: whoever waits for one notes when it is woken.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use crate::facts::CommandId;

/// The commands whose answers have arrived, or never will, in that order.
#[derive(Debug, Clone, Default)]
pub struct Wakes(Arc<Mutex<Vec<CommandId>>>);

struct Waiter {
    command: CommandId,
    wakes: Wakes,
}

impl Wakes {
    pub fn waker(&self, command: CommandId) -> Waker {
        Waker::from(Arc::new(Waiter { command, wakes: self.clone() }))
    }

    pub fn take(&self) -> Vec<CommandId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.wakes.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.command);
    }
}
