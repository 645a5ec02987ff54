//! The command that records a provider's report.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{NumberDeps, PendingReply};
use super::event::NumberEvent;
use super::record::NumberKey;
use crate::attempts::{AttemptLogWriter, ReceiptOutcome};
use crate::gateway::Receipt;
use crate::shard::{Command, Decision, Refusal, ReplyContext, Subject, Transaction};

/// Records a provider's report in the shard of the number.
pub struct ReceiptCommand {
    receipt: Receipt,
    deps: Arc<NumberDeps>,
    reply: oneshot::Sender<Result<ReceiptOutcome, Refusal>>,
    decided: Option<ReceiptOutcome>,
}

impl ReceiptCommand {
    /// Creates the command and the receiver of its outcome.
    pub fn new(receipt: Receipt, deps: Arc<NumberDeps>) -> (Box<Self>, PendingReply<ReceiptOutcome>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { receipt, deps, reply, decided: None }), answer)
    }
}

impl Command for ReceiptCommand {
    fn subject(&self) -> Subject {
        let key = self.receipt.attempt.key;
        Subject { slot: key.slot(), id: key.id() }
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let Self { receipt, deps, decided, .. } = self;
        let key = receipt.attempt.key;
        let (outcome, track) = AttemptLogWriter::new(view, key, deps.tracker).receive(receipt);
        if let (ReceiptOutcome::Recorded(row), Some(track)) = (&outcome, &track) {
            let event = NumberEvent::Receipt { track: key, row, status: track.verify, receipt };
            let (number, now) = (NumberKey::new(key.service, track.number), view.now());
            if let Some(events) = &deps.events {
                events.record(number, &event, now, None, view);
            }
        }
        *decided = Some(outcome);
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {
        let Self { reply, decided, .. } = *self;
        let _ = reply.send(decided.ok_or(Refusal::StoreUnavailable));
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let _ = self.reply.send(Err(refusal));
    }
}
