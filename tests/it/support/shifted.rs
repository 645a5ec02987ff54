//! A wall clock that is wrong: a library that is preloaded into the program.

use std::path::{Path, PathBuf};

use super::{Setup, preload};

/// The wall clock of a program, relative to that of this machine.
pub struct Shifted {
    home: PathBuf,
}

impl Shifted {
    /// Has the program of this setup run under a clock of its own, which is right so far.
    pub fn over(setup: Setup) -> (Self, Setup) {
        let shifted = Self { home: setup.home().to_owned() };
        shifted.by(0);
        let setup = preload(setup, "clock.c")
            .env("CLOCK_SHIFT_FILE", shifted.shift().to_str().expect("a path in UTF-8"));
        (shifted, setup)
    }

    /// Sets the wall clock to so many seconds ahead of the machine's.
    pub fn by(&self, seconds: i64) {
        write_whole(&self.shift(), &seconds.to_string());
    }

    fn shift(&self) -> PathBuf {
        self.home.join("clock_shift")
    }
}

/// The program may be reading it.
fn write_whole(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).expect("write a file for the test");
}
