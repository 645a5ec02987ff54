//! Why a run could not be made.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// `doing` is such as `listen on 127.0.0.1:9`.
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("the server {name} {what}{}", quoted(.log))]
    Server {
        name: String,
        what: String,
        /// The end of its log; empty for a server that the bench did not start.
        log: String,
    },
    #[error("{0}")]
    Refused(String),
}

impl BenchError {
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

fn quoted(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the end of its log:\n{}", log.trim_end()) }
}
