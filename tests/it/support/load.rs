//! A load on a server that is killed under it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::{HttpResponse, soon};

/// The answers that clients get, until there are enough of them for a kill.
#[derive(Default)]
pub struct Load {
    answers: AtomicU64,
    kill_at: AtomicU64,
    enough: Notify,
    may_fail: AtomicBool,
}

impl Load {
    pub fn begin(&self, answers_until_the_kill: u64) {
        self.kill_at.store(self.answers() + answers_until_the_kill, Ordering::SeqCst);
    }

    /// Waits for as many answers. From then on, until [`Load::server_is_back`], a request may get none.
    pub async fn until_kill(&self) {
        soon("the load", self.enough.notified()).await;
        self.may_fail.store(true, Ordering::SeqCst);
    }

    pub fn may_fail(&self) -> bool {
        self.may_fail.load(Ordering::SeqCst)
    }

    /// Later requests must be answered again.
    pub fn server_is_back(&self) {
        self.may_fail.store(false, Ordering::SeqCst);
    }

    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    /// Counts an answer and returns it; `None` if the kill came first.
    pub fn count(&self, answer: io::Result<HttpResponse>) -> Option<HttpResponse> {
        match answer {
            Ok(answer) if answer.status() == 503 && self.may_fail() => None,
            Ok(answer) => {
                if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_at.load(Ordering::SeqCst) {
                    self.enough.notify_one();
                }
                Some(answer)
            }
            Err(error) => {
                assert!(self.may_fail(), "an answer before the kill, not {error}");
                None
            }
        }
    }
}
