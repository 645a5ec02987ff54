//! What the figures were measured on.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::moments::now;
use super::results::Machine;

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, file_system, fdatasync_us } = self;
        let processor = if processor.is_empty() { "an unknown processor" } else { processor };
        write!(f, "{cores} cores of {processor}, Linux {kernel}")?;
        if let Some(us) = fdatasync_us {
            write!(f, ", {file_system}, fdatasync p50 {us:.0} us")?;
        }
        Ok(())
    }
}

/// Describes the machine, and the disk that has this directory if there is one.
///
/// # Errors
///
/// Nothing can be written there.
pub fn describe(directory: Option<&Path>) -> io::Result<Machine> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    let fdatasync = directory.map(median_fdatasync).transpose()?;
    Ok(Machine {
        cores: std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        processor: processor.unwrap_or_default(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: directory.map(file_system_of).transpose()?.unwrap_or_default(),
        fdatasync_us: fdatasync.map(|time| time.as_secs_f64() * 1e6),
    })
}

/// The mount point that is the longest beginning of the path decides.
fn file_system_of(directory: &Path) -> io::Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(fields
        .filter(|fields| fields.len() > 2 && directory.starts_with(fields[1]))
        .max_by_key(|fields| fields[1].len())
        .map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned()))
}

/// Appends of the size of a small batch to a file whose space is laid out, as a journal does it.
fn median_fdatasync(directory: &Path) -> io::Result<Duration> {
    const WRITES: usize = 500;
    const SIZE: usize = 256;
    let path = directory.join("fdatasync");
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    file.write_all(&vec![0; WRITES * SIZE])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let start = now();
        file.write_all(&[1; SIZE])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort();
    Ok(times[WRITES / 2])
}
