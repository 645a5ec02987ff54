//! The process, as `/proc` shows it. A value that cannot be read is left out.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The usual metrics of a process, under their usual names.
pub(super) fn registry() -> Registry {
    let (mut all, ticks) = (Registry::default(), clock_ticks_per_second());
    let text = |file| fs::read_to_string(file).unwrap_or_default();
    if let Some([user, system, started, pages]) = fields(&text("/proc/self/stat")) {
        let used = ConstCounter::new(seconds(user + system, ticks));
        all.register("process_cpu_seconds", "Processor time in user mode and in the kernel", used);
        let booted = text("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
        let start = seconds(booted.unwrap_or(0_u64) * ticks + started, ticks);
        all.register(
            "process_start_time_seconds",
            "Start of the process, since 1970",
            ConstGauge::new(start),
        );
        let resident = pages * u64::try_from(page_size()).unwrap_or_default();
        all.register("process_resident_memory_bytes", "Resident memory", ConstGauge::new(resident));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u64::try_from(open.count()).unwrap_or(u64::MAX);
        all.register("process_open_fds", "Open file descriptors", ConstGauge::new(open));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        all.register("process_max_fds", "Limit on open file descriptors", ConstGauge::new(most));
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "ticks of centuries are exact")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

/// The times in user mode and in the kernel, and the start since the boot, in ticks; and the resident pages.
fn fields(stat: &str) -> Option<[u64; 4]> {
    // The name of the program may contain spaces and parentheses. After it follow the fields from the third on.
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse().ok();
    Some([field(14)?, field(15)?, field(22)?, field(24)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_shifts_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(fields(stat), Some([250, 50, 12345, 2]));
    }
}
