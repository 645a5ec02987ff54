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
            .env("CLOCK_SHIFT_FILE", shifted.shift().to_str().expect("a path in UTF-8"))
            .env("CLOCK_BOOT_FILE", shifted.boot().to_str().expect("a path in UTF-8"));
        let setup = setup.env("CLOCK_KILL_FILE", shifted.kill().to_str().expect("a path in UTF-8"));
        shifted.reboot(1);
        (shifted, setup)
    }

    /// Sets the wall clock to so many seconds ahead of the machine's.
    pub fn by(&self, seconds: i64) {
        write_whole(&self.shift(), &seconds.to_string());
    }

    /// From now on a start finds another boot of the machine.
    pub fn reboot(&self, number: u8) {
        write_whole(&self.boot(), &format!("00000000-0000-4000-8000-0000000000{number:02x}\n"));
    }

    /// Whether the program is killed when it is about to mark the time.
    pub fn kills_before_the_mark(&self, kills: bool) {
        if kills {
            std::fs::write(self.kill(), "").expect("write a file for the test");
        } else {
            std::fs::remove_file(self.kill()).expect("remove a file of the test");
        }
    }

    fn kill(&self) -> PathBuf {
        self.home.join("clock_kill")
    }

    fn shift(&self) -> PathBuf {
        self.home.join("clock_shift")
    }

    fn boot(&self) -> PathBuf {
        self.home.join("boot_id")
    }
}

/// The program may be reading it.
fn write_whole(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).expect("write a file for the test");
}
