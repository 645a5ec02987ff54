//! Exports: every record as a line of JSON, and back.
//!
//! A line has a record in its own JSON, and its name. `docs/internals/storage.md` describes the format. The commands in
//! `cli::export` and `cli::import` know where the records come from and go.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod file;
#[cfg(test)]
mod tests;

pub use file::{CopiedRecord, ExportError, Header, ImportError, Reader, Writer, check};
