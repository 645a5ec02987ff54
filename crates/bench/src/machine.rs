//! The machine, and what processes use of it as the kernel counts (proc(5)).

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::results::Machine;
use crate::schedule::now;

/// A server's processes, with those that it started, and its data directory.
#[derive(Debug, Clone)]
pub struct Processes {
    ids: Vec<u32>,
    pub data: Option<PathBuf>,
}

/// Fields of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    ticks: u64,
    pages: u64,
}

impl Processes {
    pub fn one(id: u32) -> Self {
        Self { ids: vec![id], data: None }
    }

    /// This one and all its descendants at this moment.
    pub fn with_children(id: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all: Vec<(u32, u32)> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((id, stat(id)?.parent)))
            .collect();
        let mut ids = vec![id];
        let mut at = 0;
        while let Some(parent) = ids.get(at).copied() {
            ids.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            at += 1;
        }
        Self { ids, data: None }
    }

    /// User and system time so far, all threads. `None` if one has ended.
    pub fn cpu(&self) -> Option<Duration> {
        let ticks = self.sum(|stat| stat.ticks)?;
        Some(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(self.sum(|stat| stat.pages)? * page)
    }

    /// Space that the data directory takes, in bytes.
    pub fn disk(&self) -> Option<u64> {
        self.data.as_deref().map(space)
    }

    fn sum(&self, of: impl Fn(Stat) -> u64) -> Option<u64> {
        self.ids.iter().map(|id| stat(*id).map(&of)).sum()
    }
}

fn stat(id: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which may contain anything, come state, parent, ..., utime, stime, ..., rss.
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(field(1)?).ok()?, ticks: field(11)? + field(12)?, pages: field(21)? })
}

fn space(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => space(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Describes the machine, and the disk of `directory` if there is one.
pub fn describe(directory: Option<&Path>) -> io::Result<Machine> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let fdatasync = directory.map(median_fdatasync).transpose()?;
    Ok(Machine {
        processor: processor.unwrap_or_default(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: directory.map(file_system).transpose()?.unwrap_or_default(),
        fdatasync_us: fdatasync.map(|time| time.as_secs_f64() * 1e6),
    })
}

/// The type of the mount point that is the longest prefix of the path.
fn file_system(directory: &Path) -> io::Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let best = fields
        .filter(|fields| fields.len() > 2 && directory.starts_with(fields[1]))
        .max_by_key(|fields| fields[1].len());
    Ok(best.map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned()))
}

/// Appends of the size of a small batch to a preallocated file, as a journal does it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_one_that_does_not_exist_none() {
        let this = Processes::one(std::process::id());
        assert!(this.memory().unwrap() > 100_000);
        assert!(this.cpu().is_some());
        assert_eq!(Processes::one(u32::MAX).cpu(), None);
    }

    #[test]
    fn a_process_is_counted_with_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        // Read first, because the test itself takes more memory with time.
        let own = Processes::one(std::process::id()).memory().unwrap();
        let all = Processes::with_children(std::process::id());
        assert!(all.ids.contains(&child.id()));
        assert!(all.memory().unwrap() > own);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_space_of_a_directory_is_that_of_all_its_files() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        fs::write(directory.path().join("below/file"), vec![1; 100_000]).unwrap();
        assert!(space(directory.path()) >= 100_000);
    }
}
