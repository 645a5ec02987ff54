//! What the journal's writer is told and asked.

use std::io;

use tokio::sync::oneshot;

use super::changes::{Change, Overlay};
use super::copy::CopyRequest;
use super::segment::Segment;
use crate::{Key, Kind, Outcome, StoreError, Write};

/// Writes that one caller wants durable.
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// How many bytes they take in a frame.
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Vec<Outcome>, StoreError>>,
}

/// Receives the end of a snapshot round.
pub(super) type RoundReply = oneshot::Sender<Result<(), String>>;

/// Receives the end of the store.
pub(super) type CloseReply = oneshot::Sender<Result<(), StoreError>>;

/// One message to the writer.
pub(super) enum Message {
    /// Make this durable.
    Commit(Batch),
    /// What was written since the snapshot, of this kind?
    Overlay(Kind, oneshot::Sender<Overlay>),
    /// What was written since the snapshot, under these keys?
    Look(Vec<Key>, oneshot::Sender<Vec<Option<Change>>>),
    /// It is time for a snapshot round. Whoever wants to know is told when it has ended.
    Tick(Option<RoundReply>),
    /// Copy everything, as it is when the next snapshot round begins, which is at once.
    Copy(CopyRequest),
    /// The segment that was asked for.
    Prepared(io::Result<Segment>),
    /// The snapshot round has ended.
    RoundEnded(Result<(), String>),
    /// Finish what was begun, bring the snapshot up to date, end.
    Close(CloseReply),
    /// End at once; the next start replays the journal.
    Abandon,
}
