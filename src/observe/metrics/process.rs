//! The process, as `/proc` shows it. A value that cannot be read is left out.

use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

/// The usual metrics of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_files: u64,
    /// `None` for no limit.
    pub most_files: Option<u64>,
    /// Since 1970.
    pub start_seconds: f64,
}

impl Process {
    pub fn read() -> Option<Self> {
        let ticks = clock_ticks_per_second();
        let [user, system, started] = times(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let booted = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
        let resident = field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            cpu_seconds: seconds(user + system, ticks),
            resident_bytes: resident * 1024,
            open_files: u64::try_from(open_files).unwrap_or(u64::MAX),
            most_files: getrlimit(Resource::Nofile).current,
            start_seconds: seconds(booted * ticks + started, ticks),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of centuries are exact")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

/// The times in user mode and in the kernel, and the start since the boot, in ticks.
fn times(stat: &str) -> Option<[u64; 3]> {
    // The name of the program may contain spaces and parentheses. After it follow the fields from the third on.
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse().ok();
    Some([field(14)?, field(15)?, field(22)?])
}

/// The number in the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_shifts_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(times(stat), Some([250, 50, 12345]));
    }

    #[test]
    fn this_process_has_files_memory_and_a_start() {
        let process = Process::read().expect("Linux");
        assert!(process.open_files >= 3 && process.resident_bytes > 1 << 20);
        assert!(process.start_seconds > 1_700_000_000.0);
    }
}
