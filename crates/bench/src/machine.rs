//! What processes use of the machine, as the kernel counts it (proc(5)).

use std::fs;

use crate::results::{Figures, float};

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

    /// CPU time so far in microseconds, of user and system; `None` if a process has ended. How often the threads were woken (voluntary context switches); and how often those
    /// that write a journal wrote: once for each commit of an onceward, and once more to wake a server that sleeps.
    pub fn usage(&self) -> Option<Figures> {
        let ticks = self.sum(USER_TICKS)? + self.sum(SYSTEM_TICKS)?;
        let cpu = float(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1));
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

    pub fn memory_mib(&self) -> Option<f64> {
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(float(self.sum(PAGES)? * page) / f64::from(1 << 20))
    }

    fn sum(&self, field: usize) -> Option<u64> {
        self.ids.iter().map(|id| stat(*id, field)).sum()
    }
}

/// The thread that commits.
pub const JOURNAL_THREAD: &str = "journal";

/// Places in `/proc/<pid>/stat` after the name, which may contain anything.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const PAGES: usize = 21;

fn stat(id: u32, field: usize) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    line.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}
