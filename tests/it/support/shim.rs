//! A disk that fails on command: the library `shims/disk.c`, loaded into the program, and its controls.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use tempfile::TempDir;

use super::{Setup, World};

const CONTROL_BYTES: u64 = 4096;

/// Calls of the C library, in the order of the list in `shims/disk.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum Call {
    Create,
    Open,
    Read,
    Write,
    /// `fsync` and `fdatasync`.
    Sync,
    /// `ftruncate`.
    Cut,
    /// `rename` and `link`.
    Rename,
    Unlink,
    /// `sync_file_range`.
    SyncRange,
}

use Call::{Create, Cut, Rename, Sync, SyncRange, Unlink, Write};

impl Call {
    /// The calls that fail on a full disk, which is still readable.
    pub const CHANGES: [Self; 7] = [Create, Write, Sync, Cut, Rename, Unlink, SyncRange];
}

#[derive(Debug, Clone)]
pub struct Trouble {
    calls: Vec<Call>,
    part: &'static str,
    error: Errno,
    mode: i64,
}

impl Trouble {
    /// These calls fail from now on.
    pub fn of(calls: &[Call], error: Errno) -> Self {
        Self { calls: calls.to_vec(), part: "", error, mode: 0 }
    }

    pub fn hanging(calls: &[Call]) -> Self {
        Self { mode: 1, ..Self::of(calls, Errno::IO) }
    }

    /// Only on paths that contain this.
    pub fn on(self, part: &'static str) -> Self {
        Self { part, ..self }
    }

    /// The first failing write leaves half of its bytes.
    pub fn torn(self) -> Self {
        Self { mode: 2, ..self }
    }
}

/// The library, and the file that both sides share. It affects files below one directory.
pub struct Shim {
    library: PathBuf,
    directory: PathBuf,
    control: File,
    home: TempDir,
}

impl Shim {
    /// Affects files below this directory, which need not exist yet.
    pub fn over(directory: &Path) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("control");
        let control = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let control = control.expect("a control file");
        control.set_len(CONTROL_BYTES).expect("its length");
        let library = compiled("storage-shim", include_str!("shims/disk.c"));
        Self { library, directory: directory.to_owned(), control, home }
    }

    pub fn under(&self, setup: Setup) -> Setup {
        let text = |path: &Path| path.to_str().expect("a path as text").to_owned();
        setup
            .preloads(&self.library)
            .env("SHIM_DIRECTORY", text(&self.directory))
            .env("SHIM_CONTROL", text(&self.home.path().join("control")))
    }

    pub fn begin(&self, trouble: &Trouble) {
        self.set(0, 0);
        let calls = trouble.calls.iter().map(|call| 1 << (*call as i64)).sum();
        let error = i64::from(trouble.error.raw_os_error());
        for (field, value) in (1..).zip([error, calls, trouble.mode, 0]) {
            self.set(field, value);
        }
        let mut part = [0; 128];
        part[..trouble.part.len()].copy_from_slice(trouble.part.as_bytes());
        self.control.write_all_at(&part, 128).expect("a control file");
        self.set(0, 1);
    }

    pub fn end(&self) {
        self.set(0, 0);
    }

    fn set(&self, field: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), field * 8).expect("a control file");
    }
}

impl World {
    pub async fn over_shim(setup: Setup) -> (Self, Shim) {
        let shim = Shim::over(&setup.data_dir());
        (Self::of(shim.under(setup)).await, shim)
    }
}

/// The variables that preload a library. The dynamic linker splits `LD_PRELOAD` at spaces, which its directory may have.
pub fn preloads(library: &Path) -> [(&'static str, PathBuf); 2] {
    let (file, directory) = library.file_name().zip(library.parent()).expect("a file");
    [("LD_PRELOAD", file.into()), ("LD_LIBRARY_PATH", directory.to_owned())]
}

/// Returns a library to preload, compiled once for each version of its source.
pub fn compiled(name: &str, source: &str) -> PathBuf {
    let hash = crc32c::crc32c(source.as_bytes());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{hash:08x}.so"));
    if !library.exists() {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (file, made) = (directory.path().join("shim.c"), directory.path().join("shim.so"));
        fs::write(&file, source).expect("the source");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).args([&made, &file]);
        let done = compiler.args(["-ldl", "-lpthread"]).output();
        let done = done.expect("a C compiler, cc, is needed; on Debian: apt-get install gcc libc6-dev");
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        fs::rename(made, &library).expect("the library in its place");
    }
    library
}
