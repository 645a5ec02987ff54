//! Ways to damage a file.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    Missing,
    Empty,
    /// Only this many bytes are left.
    Cut(usize),
    /// One bit of one byte is flipped.
    Flip(usize, u8),
    Directory,
    /// Its earlier content.
    Older(PathBuf),
}

impl Damage {
    pub fn does_to(&self, path: &Path) {
        match self {
            Self::Missing => fs::remove_file(path).expect("removed"),
            Self::Empty => fs::write(path, "").expect("emptied"),
            Self::Cut(length) => {
                let file = fs::OpenOptions::new().write(true).open(path).expect("a file");
                file.set_len(*length as u64).expect("cut");
            }
            Self::Flip(at, bit) => {
                let mut bytes = fs::read(path).expect("read");
                bytes[*at] ^= 1 << bit;
                fs::write(path, bytes).expect("written");
            }
            Self::Directory => {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("a directory");
            }
            Self::Older(from) => drop(fs::copy(from, path).expect("copied")),
        }
    }
}

/// All files below a directory, as paths relative to it, without sockets.
pub fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(directory).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Copies the whole directory, except files that no test needs.
pub fn copy(from: &Path, to: &Path) {
    for file in files_in(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        fs::copy(from.join(&file), target).expect("copied");
    }
}

/// The number of bytes of a file before the zeros at its end.
pub fn used_bytes(path: &Path) -> usize {
    fs::read(path).expect("read").iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
