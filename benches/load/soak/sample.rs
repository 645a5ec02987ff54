//! What is looked at every few seconds.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::TRACKED;
use super::mix::Shared;
use crate::child::Child;
use crate::driver::now;

const MIB: f64 = 1024.0 * 1024.0;

/// One look. Sizes are in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub second: f64,
    /// Memory that is resident (`Rss` of `smaps_rollup`, proc(5)).
    pub rss: u64,
    /// Of this what no file is behind (`Anonymous`).
    pub anonymous: u64,
    /// Open files.
    pub files: u64,
    /// Threads.
    pub threads: u64,
    /// Space on the disk of the whole data directory (blocks of stat(2)).
    pub disk: u64,
    /// The same, as the lengths of the files say.
    pub length: u64,
    /// Of the space: the journal.
    pub journal: u64,
    /// Of the space: the snapshot, with what is being written.
    pub snapshot: u64,
    /// Layers that the snapshot consists of.
    pub layers: u64,
    /// Bytes of log that the server has written.
    pub logged: u64,
    /// Numbers with a record that matters, as the load knows it.
    pub numbers: u64,
    /// Verifications that the tracker must remember.
    pub tracked: u64,
    /// Requests per second since the last sample.
    pub rate: f64,
    /// The 99th percentile of their times, in milliseconds.
    pub p99_ms: f64,
    /// CPU time of the server per request since the last sample, in microseconds.
    pub cpu_us: f64,
    /// Answers 503 since the run began.
    pub unavailable: u64,
}

impl Sample {
    /// Names of the columns of [`Sample::row`].
    pub const HEAD: &str = "second,rss,anonymous,files,threads,disk,length,journal,snapshot,layers,logged,numbers,\
                            tracked,rate,p99_ms,cpu_us,unavailable";

    /// One line of a table for programs.
    pub fn row(&self) -> String {
        let Self { second, rss, anonymous, files, threads, disk, length, journal, snapshot, layers, .. } =
            self;
        let Self { logged, numbers, tracked, rate, p99_ms, cpu_us, unavailable, .. } = self;
        format!(
            "{second:.1},{rss},{anonymous},{files},{threads},{disk},{length},{journal},{snapshot},{layers},{logged},\
             {numbers},{tracked},{rate:.0},{p99_ms:.2},{cpu_us:.1},{unavailable}"
        )
    }

    /// Looks at memory, files and threads of a server.
    pub fn look_at_process(&mut self, server: &Child) {
        let proc = PathBuf::from(format!("/proc/{}", server.id()));
        let memory = fs::read_to_string(proc.join("smaps_rollup")).expect("the server lives");
        self.rss = field(&memory, "Rss:") * 1024;
        self.anonymous = field(&memory, "Anonymous:") * 1024;
        let status = fs::read_to_string(proc.join("status")).expect("the server lives");
        self.threads = field(&status, "Threads:");
        let files = fs::read_dir(proc.join("fd")).expect("the server lives").count();
        self.files = u64::try_from(files).expect("few files");
        self.logged = server.logged();
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let mib = |bytes: u64| bytes as f64 / MIB;
        write!(
            f,
            "{:>6.0} s  {:>6.0} requests/s  p99 {:>7.2} ms  memory {:>6.1} MiB  disk {:>6.1} MiB (journal {:.0}, \
             snapshot {:.1} in {} layers)  {} numbers  {} files  {} threads  {} times 503",
            self.second,
            self.rate,
            self.p99_ms,
            mib(self.rss),
            mib(self.disk),
            mib(self.journal),
            mib(self.snapshot),
            self.layers,
            self.numbers,
            self.files,
            self.threads,
            self.unavailable
        )
    }
}

/// A server that is being looked at.
pub struct Watched<'a> {
    server: &'a Child,
    data: PathBuf,
    shared: &'a Shared,
    last: Instant,
    cpu: Duration,
}

impl<'a> Watched<'a> {
    /// Begins now.
    pub fn new(server: &'a Child, data: &Path, shared: &'a Shared) -> Self {
        Self { server, data: data.to_owned(), shared, last: now(), cpu: server.cpu() }
    }

    /// Looks.
    pub fn sample(&mut self) -> Sample {
        let mut sample = Sample { second: self.shared.start.elapsed().as_secs_f64(), ..Sample::default() };
        sample.look_at_process(self.server);
        add_files(&self.data, Part::Other, &mut sample);
        let second = self.shared.start.elapsed().as_secs();
        let (latencies, sends) = self.shared.with(|counts| {
            sample.numbers = counts.live_numbers(second);
            sample.unavailable = counts.unavailable;
            let fresh = Histogram::new(3).expect("three digits");
            (std::mem::replace(&mut counts.latencies, fresh), counts.sends)
        });
        sample.tracked = sends.min(TRACKED);
        let (cpu, lasted) = (self.server.cpu(), self.last.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "no sample has 2^53 requests")]
        let requests = latencies.len() as f64;
        sample.rate = requests / lasted.as_secs_f64();
        sample.p99_ms = Duration::from_nanos(latencies.value_at_quantile(0.99)).as_secs_f64() * 1e3;
        sample.cpu_us = cpu.saturating_sub(self.cpu).as_secs_f64() * 1e6 / requests.max(1.0);
        (self.cpu, self.last) = (cpu, now());
        sample
    }
}

/// What a data directory takes on the disk.
pub fn look_at(data: &Path) -> Sample {
    let mut sample = Sample::default();
    add_files(data, Part::Other, &mut sample);
    sample
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the system's");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

#[derive(Clone, Copy)]
enum Part {
    Journal,
    Snapshot,
    Other,
}

/// Files may vanish while they are being looked at.
fn add_files(directory: &Path, part: Part, sample: &mut Sample) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let part = match (part, name.as_str()) {
                (Part::Other, "journal") => Part::Journal,
                (Part::Other, "snapshot") => Part::Snapshot,
                _ => part,
            };
            add_files(&path, part, sample);
            continue;
        }
        let space = metadata.blocks() * 512;
        sample.disk += space;
        sample.length += metadata.len();
        match part {
            Part::Journal => sample.journal += space,
            Part::Snapshot => {
                sample.snapshot += space;
                sample.layers += u64::from(path.extension().is_some_and(|kind| kind == "layer"));
            }
            Part::Other => {}
        }
    }
}
