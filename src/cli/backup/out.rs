//! Where an export is written to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A place for an export. What is in a file under its own name is always a whole export: it is written
/// under another, and renamed when it is complete and on the disk.
pub(super) enum Out {
    Stdout,
    /// Not a file, such as a named pipe: written as it comes.
    Device(File),
    File {
        file: File,
        unfinished: PathBuf,
        path: PathBuf,
    },
}

/// Why it is not one. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutError {
    #[error(
        "an export has whole telephone numbers in it, which a terminal is no place for; name a file with --out FILE, or \
         print them all the same with --out -"
    )]
    Terminal,
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Out {
    /// `-` is standard output, as no name is where that is no terminal.
    pub(super) fn open(name: Option<&Path>) -> Result<Self, OutError> {
        let path = match name {
            None if stdout().is_terminal() => return Err(OutError::Terminal),
            None => return Ok(Self::Stdout),
            Some(path) if path == Path::new("-") => return Ok(Self::Stdout),
            // A link stays one.
            Some(path) => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        };
        let failed = |action| {
            let path = path.clone();
            move |source| OutError::Io { action, path, source }
        };
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed("write to"))?;
            return Ok(Self::Device(file));
        }
        let mut unfinished = path.file_name().unwrap_or_default().to_owned();
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = path.with_file_name(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = file.map_err(failed("write a file beside"))?;
        Ok(Self::File { file, unfinished, path })
    }

    /// To write to.
    pub(super) fn writer(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Self::Stdout => Box::new(stdout()),
            Self::Device(file) | Self::File { file, .. } => Box::new(file.try_clone()?),
        })
    }

    /// Whether what else there is to say has to go elsewhere.
    pub(super) const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// All was written: it gets its name.
    pub(super) fn complete(self) -> Result<(), OutError> {
        let Self::File { file, unfinished, path } = self else { return Ok(()) };
        let finish = || {
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            OutError::Io { action: "finish", path: path.clone(), source }
        })
    }

    /// It will not be whole.
    pub(super) fn give_up(self) {
        if let Self::File { unfinished, .. } = self {
            let _ = fs::remove_file(unfinished);
        }
    }
}
