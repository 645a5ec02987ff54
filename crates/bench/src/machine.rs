//! The machine, and what processes use of it as the kernel counts (proc(5)).

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::load::now;
use crate::results::{Figures, time};

/// Figures of a round, for each request.
pub const CPU: &str = "cpu_us_per_request";
const WAKE_UPS: &str = "wakeups_per_request";
const JOURNAL_WRITES: &str = "journal_writes_per_request";

/// A server's processes, with those that it started.
#[derive(Debug, Clone)]
pub struct Processes {
    ids: Vec<u32>,
}

impl Processes {
    pub fn one(id: u32) -> Self {
        Self { ids: vec![id] }
    }

    /// This process and all its descendants at this moment.
    pub fn with_children(id: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<(u32, u64)> = all.filter_map(|id| Some((id, stat(id, PARENT)?))).collect();
        let (mut ids, mut at) = (vec![id], 0);
        while let Some(parent) = ids.get(at).copied() {
            ids.extend(all.iter().filter(|(_, of)| *of == u64::from(parent)).map(|(id, _)| *id));
            at += 1;
        }
        Self { ids }
    }

    /// User and system time so far, all threads. `None` if one has ended.
    pub fn cpu(&self) -> Option<Duration> {
        let ticks = self.sum(USER_TICKS)? + self.sum(SYSTEM_TICKS)?;
        Some(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
    }

    /// CPU time so far in microseconds; how often the threads were woken (voluntary context switches); and how often those
    /// that write a journal wrote: once for each commit of an onceward, and once more to wake a server that sleeps.
    pub fn usage(&self) -> Option<Figures> {
        let cpu = self.cpu()?.as_secs_f64() * 1e6;
        let mut used = Figures::from([(CPU, cpu), (WAKE_UPS, 0.0), (JOURNAL_WRITES, 0.0)]);
        for id in &self.ids {
            for thread in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
                let field = |file: &str, name: &str| {
                    let text = fs::read_to_string(thread.path().join(file)).ok()?;
                    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
                };
                let mut add = |figure, count: Option<f64>| {
                    *used.entry(figure).or_default() += count.unwrap_or_default();
                };
                add(WAKE_UPS, field("status", "voluntary_ctxt_switches:"));
                let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
                if name.trim_end() == JOURNAL_THREAD {
                    add(JOURNAL_WRITES, field("io", "syscw:"));
                }
            }
        }
        Some(used)
    }

    pub fn memory(&self) -> Option<u64> {
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(self.sum(PAGES)? * page)
    }

    fn sum(&self, field: usize) -> Option<u64> {
        self.ids.iter().map(|id| stat(*id, field)).sum()
    }
}

/// The thread of an onceward that commits.
const JOURNAL_THREAD: &str = "journal";

/// Places in `/proc/<pid>/stat` after the name, which may contain anything.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const PAGES: usize = 21;

fn stat(id: u32, field: usize) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    line.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

/// Describes the machine, and the disk of `directory`.
pub fn describe(directory: &Path) -> io::Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = processors.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = names.next().map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (system, fdatasync) = (rustix::system::uname(), time(median_fdatasync(directory)?));
    let kernel = system.release().to_string_lossy();
    Ok(format!("{processor}, {cores} cores, kernel {kernel}; 256 bytes with fdatasync take {fdatasync}"))
}

/// The directory is on a tmpfs.
pub fn is_in_memory(directory: &Path) -> bool {
    /// statfs(2)
    const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::statfs(directory).is_ok_and(|system| system.f_type == TMPFS_MAGIC)
}

/// Microseconds of appends of the size of a small batch to a preallocated file, as a journal does it.
fn median_fdatasync(directory: &Path) -> io::Result<f64> {
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
    Ok(times[WRITES / 2].as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_counted_with_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let all = Processes::with_children(std::process::id());
        assert!(all.ids.contains(&std::process::id()) && all.ids.contains(&child.id()));
        assert!(all.cpu().is_some() && all.memory().unwrap() > 100_000);
        assert!(all.usage().unwrap()[WAKE_UPS] > 0.0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((all.cpu(), all.memory()), (None, None), "one has ended");
    }
}
