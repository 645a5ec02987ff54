//! The bench: drives servers with the same requests in one run, and tells people and scripts what it saw.

pub mod report;
pub mod results;
