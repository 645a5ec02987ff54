//! What a server uses of the machine, as the kernel counts it (proc(5)).

use std::fs;
use std::time::Duration;

/// A process and those that it started, such as the Redis of a reference server.
#[derive(Debug, Clone)]
pub struct Processes {
    ids: Vec<u32>,
}

/// One line of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    ticks: u64,
    pages: u64,
}

impl Processes {
    /// This one alone.
    pub fn one(id: u32) -> Self {
        Self { ids: vec![id] }
    }

    /// This one, with all that come from it at this moment.
    pub fn with_children(id: u32) -> Self {
        let all: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((id, stat(id)?.parent)))
            .collect();
        let mut ids = vec![id];
        let mut at = 0;
        while let Some(parent) = ids.get(at).copied() {
            ids.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            at += 1;
        }
        Self { ids }
    }

    /// CPU time that they have used so far, in user mode and in the kernel, all threads. `None` if one has ended.
    pub fn cpu(&self) -> Option<Duration> {
        let ticks = self.sum(|stat| stat.ticks)?;
        Some(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
    }

    /// Resident memory, in bytes; what several of them share counts for each.
    pub fn memory(&self) -> Option<u64> {
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(self.sum(|stat| stat.pages)? * page)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some_memory_and_one_that_is_not_there_has_not() {
        let this = Processes::one(std::process::id());
        assert!(this.memory().unwrap() > 100_000);
        assert!(this.cpu().is_some());
        assert_eq!(Processes::one(u32::MAX).cpu(), None);
    }

    #[test]
    fn a_process_is_counted_with_what_it_started() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let all = Processes::with_children(std::process::id());
        assert!(all.ids.contains(&child.id()));
        assert!(all.memory().unwrap() > Processes::one(std::process::id()).memory().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
