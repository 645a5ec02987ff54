//! Why a run could not be made, in words for the person who started it.

use std::io;

/// A run that could not begin, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The machine did not do something that the bench needs.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was to be done, such as `listen on 127.0.0.1:9`.
        doing: String,
        /// Why it was not.
        source: io::Error,
    },
    /// A server did not start, or not as it should.
    #[error("the server {name} {what}{}", quoted(.log))]
    Server {
        /// Its name in the table.
        name: String,
        /// What is wrong with it.
        what: String,
        /// The end of its log; empty for a server that was there before.
        log: String,
    },
    /// The store that was to be filled with live numbers did not take them.
    #[error("cannot fill the store with live numbers: {0}")]
    Store(String),
    /// Something that the machine or the options do not allow.
    #[error("{0}")]
    Refused(String),
}

impl BenchError {
    /// For `map_err`: says what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

fn quoted(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the end of its log:\n{}", log.trim_end()) }
}
