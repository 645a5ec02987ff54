//! Compiles the shim, and the environment that loads it into a program.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Setup, compiled};

/// A temporary directory, in memory if there is room: the cuts are made in the model, and a real disk would only be
/// slower.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let in_memory = (free >= ROOM).then(|| tempfile::tempdir_in(memory)).and_then(Result::ok);
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("make a directory for the test"))
}

/// The size of the largest data directory of these tests, with a reserve.
const ROOM: u64 = 64 * 1024 * 1024;

/// A program's home, which the shim watches, and next to it the traces.
pub struct Watched {
    place: TempDir,
    shim: PathBuf,
}

impl Watched {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("make a directory for the test");
        for name in ["home", "traces"] {
            std::fs::create_dir(place.path().join(name)).expect("make a directory");
        }
        Self { place, shim: compiled("power-shim", include_str!("shim.c")) }
    }

    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    pub fn traces(&self) -> PathBuf {
        self.place.path().join("traces")
    }

    pub fn promises(&self) -> PathBuf {
        self.place.path().join("promises")
    }

    /// The environment that makes the shim trace a program.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![("LD_PRELOAD", self.shim.clone()), ("POWER_ROOT", self.home()), ("POWER_TRACE", self.traces())]
    }

    /// The shim traces this setup's program.
    pub fn setup(&self, setup: Setup) -> Setup {
        let home = setup.home().to_owned();
        let environment = self.environment().into_iter().chain([("POWER_ROOT", home)]);
        environment.fold(setup, |setup, (name, value)| setup.env(name, value.to_str().expect("a plain path")))
    }

    /// Keeps all files for later inspection.
    pub fn keep(self) -> PathBuf {
        self.place.keep()
    }
}
