//! What a provider reports about a message, as a command to the shard of its number.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::Deps;
use super::happened::Happened;
use super::record::NumberKey;
use crate::attempts::{ReceiptOutcome, TrackWriter};
use crate::gateway::Receipt;
use crate::shard::{Command, Decision, Refusal, ReplyContext, Subject, Transaction};

/// Where the outcome arrives.
pub type ReceiptAnswer = oneshot::Receiver<Result<ReceiptOutcome, Refusal>>;

/// A provider has reported something.
pub struct ReceiptCommand {
    receipt: Receipt,
    deps: Arc<Deps>,
    reply: oneshot::Sender<Result<ReceiptOutcome, Refusal>>,
    decided: Option<ReceiptOutcome>,
}

impl ReceiptCommand {
    /// A command that has not been decided yet, and where its outcome arrives.
    pub fn new(receipt: Receipt, deps: Arc<Deps>) -> (Box<Self>, ReceiptAnswer) {
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
        let (outcome, track) = TrackWriter::new(view, key, deps.tracker).receive(receipt);
        if let (ReceiptOutcome::News(row), Some(track)) = (&outcome, &track) {
            let happened = Happened::Receipt { track: key, row, status: track.verify, receipt };
            let (number, now) = (NumberKey { service: key.service, number: track.number }, view.now());
            for recorder in &deps.recorders {
                recorder.record(number, &happened, now, view);
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
