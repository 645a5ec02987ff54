//! What the figures were measured on.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::driver::now;

/// The machine, as far as it matters.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// Their name.
    pub processor: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Type of the file system with the data.
    pub file_system: String,
    /// Median of one small write and fdatasync there, in microseconds.
    pub fdatasync_us: f64,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, file_system, fdatasync_us } = self;
        write!(
            f,
            "{cores} cores of {processor}, Linux {kernel}, {file_system}, fdatasync p50 {fdatasync_us:.0} us"
        )
    }
}

/// Describes the machine and the disk that has this directory.
pub fn describe(directory: &Path) -> Machine {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: processor.unwrap_or_else(|| "unknown".to_owned()),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: file_system_of(directory),
        fdatasync_us: median_fdatasync(directory).as_secs_f64() * 1e6,
    }
}

/// The mount point that is the longest beginning of the path decides.
fn file_system_of(directory: &Path) -> String {
    let directory = directory.canonicalize().expect("a directory");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.len() > 2 && directory.starts_with(fields[1]))
        .max_by_key(|fields| fields[1].len())
        .map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned())
}

/// Appends of the size of a small batch to a file whose space is laid out, as a journal does it.
fn median_fdatasync(directory: &Path) -> Duration {
    const WRITES: usize = 500;
    const SIZE: usize = 256;
    let path = directory.join("fdatasync");
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path).expect("a file");
    file.write_all(&vec![0; WRITES * SIZE]).and_then(|()| file.sync_all()).expect("space");
    file.seek(SeekFrom::Start(0)).expect("the beginning");
    let mut times: Vec<Duration> = (0..WRITES)
        .map(|_| {
            let start = now();
            file.write_all(&[1; SIZE]).and_then(|()| file.sync_data()).expect("a synced write");
            start.elapsed()
        })
        .collect();
    fs::remove_file(&path).expect("the file goes");
    times.sort();
    times[WRITES / 2]
}
