//! The orderly end.

use super::super::frame::FRAME_OVERHEAD;
use super::super::journal::Room;
use super::super::message::CloseReply;
use super::super::segment::HEADER_BYTES;
use super::{Ending, Writer};
use crate::StoreError;

/// How far closing has come.
#[derive(Default)]
pub(super) struct Closing {
    pub(super) replies: Vec<CloseReply>,
    /// Whether a segment to end the journal in was asked for.
    room_asked_for: bool,
    /// Whether a round that had failed was given another chance.
    repeated: bool,
    last_round_begun: bool,
}

impl Writer {
    /// Once closing was asked for: ends the running round, carries out a last one, and ends the
    /// journal with a frame that says so.
    pub(super) fn proceed_closing(&mut self) -> Option<Ending> {
        loop {
            let closing = self.closing.as_mut()?;
            if !closing.room_asked_for {
                closing.room_asked_for = true;
                self.journal.ask_for_spare();
            }
            if self.journal.is_preparing() {
                return None;
            }
            match &mut self.running {
                Some(running) if running.in_progress => return None,
                Some(running) if !closing.repeated => {
                    closing.repeated = true;
                    running.round.hurry();
                    self.send_round();
                }
                None if !closing.last_round_begun => {
                    closing.last_round_begun = true;
                    self.begin_round(false);
                }
                running => {
                    let failure = running.as_ref().and_then(|running| running.failed.clone());
                    let replies = std::mem::take(&mut closing.replies);
                    return Some(Ending::Closed(replies, self.finish(failure)));
                }
            }
        }
    }

    fn finish(&mut self, round_failure: Option<String>) -> Result<(), StoreError> {
        let room = self.make_room(HEADER_BYTES + FRAME_OVERHEAD);
        if room != Room::Ready {
            return Err(StoreError::Unavailable("the journal could not be closed in order".into()));
        }
        self.journal.close(self.clock.now()).map_err(|error| StoreError::Unavailable(error.reason))?;
        match round_failure {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}
