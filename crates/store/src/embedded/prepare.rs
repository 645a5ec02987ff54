//! Reserves the next journal segment, on a thread of its own, before it is needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::disk::Disk;
use super::message::Message;
use super::segment::Segment;

/// What the thread works with.
pub(super) struct Preparer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: PathBuf,
    pub(super) segment_bytes: u64,
    /// The numbers of the segments that are wanted.
    pub(super) wanted: Receiver<u64>,
    pub(super) writer: SyncSender<Message>,
}

impl Preparer {
    /// Runs until the journal's writer ends.
    pub(super) fn run(self) {
        for number in self.wanted {
            let segment = Segment::create(&*self.disk, &self.journal, number, self.segment_bytes);
            if self.writer.send(Message::Prepared(segment)).is_err() {
                break;
            }
        }
    }
}
