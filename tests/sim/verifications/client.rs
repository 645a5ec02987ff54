//! Commands of clients, and their answers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use onceward::verification::numbers::command::PendingReply;
use onceward::verification::numbers::{CheckOutcome, Refusal, Reply, SendOutcome};

/// A command without an answer.
pub struct Open {
    pub number: usize,
    pub command: ClientCommand,
    pub at: u64,
    /// The name of its message.
    pub name: u64,
    pub left: bool,
    /// The verification of a message that left but surely was not sent.
    pub in_vain: Option<u64>,
    pub answer: End,
}

#[derive(Debug, Clone, Copy)]
pub enum ClientCommand {
    Begin,
    Check { named: Option<u64>, right: Option<u64> },
    Cancel(u64),
}

pub enum End {
    Begin(PendingReply<Reply<SendOutcome>>),
    Check(PendingReply<Reply<CheckOutcome>>),
    Cancel(PendingReply<Reply<bool>>),
}

/// An answer to a client, as far as these tests need it.
#[derive(Debug)]
pub enum ClientReply {
    Sent(u64),
    /// A beginning sent nothing, because of a limit, or because of a gateway with this verification.
    Nothing(Option<u64>),
    Approved(u64),
    Wrong(u64),
    Refused,
    NotFound,
    Canceled,
    /// Refused without a decision, because there is no room.
    Busy,
    /// 503 or no answer: the command may have been executed.
    Failed,
}

impl ClientReply {
    pub fn name(&self, command: ClientCommand) -> &'static str {
        match (self, command) {
            (Self::Sent(_), _) => "sent",
            (Self::Nothing(_), _) => "nothing sent",
            (Self::Approved(_), _) => "approved",
            (Self::Wrong(_), ClientCommand::Check { named: None, .. }) => "wrong by number",
            (Self::Wrong(_), _) => "wrong by name",
            (Self::Refused, ClientCommand::Check { named: Some(_), .. }) => "used up",
            (Self::Refused, _) => "refused",
            (Self::NotFound, _) => "not found",
            (Self::Canceled, _) => "canceled",
            (Self::Busy, _) => "busy",
            (Self::Failed, _) => "503 or dropped",
        }
    }
}

impl End {
    pub fn poll(&mut self) -> Poll<ClientReply> {
        let context = &mut Context::from_waker(Waker::noop());
        match self {
            Self::Begin(end) => Pin::new(end).poll(context).map(|told| {
                reply(told, |told| match (told.outcome, told.verification) {
                    (SendOutcome::Sent { .. }, Some(facts)) => ClientReply::Sent(facts.id),
                    (SendOutcome::GatewayFailed, Some(facts)) => ClientReply::Nothing(Some(facts.id)),
                    _ => ClientReply::Nothing(None),
                })
            }),
            Self::Check(end) => Pin::new(end).poll(context).map(|told| {
                reply(told, |told| match (told.outcome, told.verification) {
                    (CheckOutcome::Approved, Some(facts)) => ClientReply::Approved(facts.id),
                    (CheckOutcome::Wrong { live: true, .. }, Some(facts)) => ClientReply::Wrong(facts.id),
                    (CheckOutcome::NoChecksLeft { .. }, _) => ClientReply::Refused,
                    (CheckOutcome::NotFound, _) => ClientReply::NotFound,
                    (answer, verification) => panic!("{answer:?} of {verification:?}"),
                })
            }),
            Self::Cancel(end) => Pin::new(end).poll(context).map(|told| {
                reply(told, |ended| {
                    if ended.verification.is_some() { ClientReply::Canceled } else { ClientReply::NotFound }
                })
            }),
        }
    }
}

fn reply<T, E>(told: Result<Result<T, Refusal>, E>, of: impl FnOnce(T) -> ClientReply) -> ClientReply {
    match told {
        Ok(Ok(told)) => of(told),
        Ok(Err(Refusal::NumberBusy)) => ClientReply::Busy,
        Ok(Err(_)) | Err(_) => ClientReply::Failed,
    }
}
