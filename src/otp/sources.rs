//! The locations of a server's settings, for a program that uses the same.

use std::path::PathBuf;

use crate::config::{Overrides, Sources};
use crate::node::process;

/// The server's sources: this file, and the environment of the process with its `.env`.
pub(super) fn of_server(config_file: PathBuf) -> Sources {
    Sources {
        config_file: Some(config_file),
        working_dir: PathBuf::new(),
        environment: process::environment(),
        overrides: Overrides::default(),
        parallelism: process::parallelism(),
    }
}
