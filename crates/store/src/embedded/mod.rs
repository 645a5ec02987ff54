//! The embedded store: a journal that makes batches durable, and snapshots that keep the journal short.
//!
//! Memory is the authority: the owner of the records has loaded everything and is the only writer. One thread joins
//! the batches that wait into one durable append to the journal, and calls them back. When the journal
//! has grown, the owner streams them into a new snapshot, and the segments that it replaces go.
//! `docs/operate/data-directory.md` describes what is on the disk.

mod checkpoint;
mod directory;
mod journal;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use checkpoint::LiveRecords;
pub use directory::{FORMAT, OpenOptions, check_importable, create_durably, key_fingerprint_in};
pub use store::EmbeddedStore;
