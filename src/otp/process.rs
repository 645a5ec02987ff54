//! What the process has to offer besides what the builder is told.

use std::path::PathBuf;

use crate::config::{Overrides, Sources};

/// How many threads can run at once.
pub(super) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the server would read: this file, and the environment of the process with its `.env`.
pub(super) fn sources(config_file: PathBuf) -> Sources {
    // A variable that is not Unicode keeps its name; its value then fits nothing and is refused.
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    Sources {
        config_file: Some(config_file),
        working_dir: PathBuf::new(),
        environment: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        overrides: Overrides::default(),
        parallelism: parallelism(),
    }
}
