//! What a run of the bench measured: the form between the load, which fills it, and the reports, which only read it.
//!
//! It is also the JSON that a run writes. Fields are added, never renamed: scripts read it.

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The version of this form.
    pub form: u32,
    /// The program that ran the bench, with its version, such as `onceward 0.1.0`.
    pub program: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// Where.
    pub machine: Machine,
    /// What was asked for.
    pub plan: Plan,
    /// The servers, in the order in which they were named; the first is the one that ratios are made for.
    pub servers: Vec<Server>,
    /// What could make the figures doubtful, in words for a person, such as a load that could not keep its rate.
    pub warnings: Vec<String>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model, as the kernel names it; empty where it does not.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// The kernel's release.
    pub kernel: String,
    /// The file system of the data directory.
    pub file_system: String,
    /// Median of a write of 256 bytes with fdatasync there, in microseconds; `None` where there is no data directory of ours.
    pub fdatasync_us: Option<f64>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The workload's name, such as `send-verify`.
    pub workload: String,
    /// Connections, each with at most one request at a time.
    pub connections: u32,
    /// Requests per second of an open loop; `None` in a closed one.
    pub rate: Option<u32>,
    /// Milliseconds that the provider's double takes for each answer.
    pub gateway_delay_ms: u64,
    /// Live numbers that each server had before the first request.
    pub live_numbers: u64,
    /// Length of one window, in seconds.
    pub window_s: f64,
    /// Rounds, each with one window for each server.
    pub rounds: u32,
    /// What the choices of the load were drawn from.
    pub seed: u64,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `onceward`, `ceiling`, `redis`, or the address of a server that was there before.
    pub name: String,
    /// What it is, in one line.
    pub what: String,
    /// One for each round.
    pub windows: Vec<Window>,
    /// From its start until it was ready, in milliseconds; `None` for a server that was there before.
    pub ready_ms: Option<f64>,
}

/// One window of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Seconds from the first request to the last answer.
    pub lasted_s: f64,
    /// Answers by kind; all kinds that the workload has, also those that did not come.
    pub kinds: Vec<Kind>,
    /// All answers together, without those that were not expected.
    pub latency: Latency,
    /// CPU time of the server in this round, in microseconds: user and system, all threads and, for servers made of
    /// several processes, all of these. `None` where it cannot be read.
    pub cpu_us: Option<u64>,
    /// The most resident memory seen in this window, in bytes.
    pub memory_bytes: Option<u64>,
    /// Once a second, in order.
    pub samples: Vec<Sample>,
}

/// One kind of answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// Such as `send` or `check, wrong code`.
    pub name: String,
    /// How many were as expected.
    pub answers: u64,
    /// How many were refused for a load that is too high (429, 503), which a client may try again.
    pub refused: u64,
    /// How many were anything else, no answer included.
    pub unexpected: u64,
    /// Times of the expected ones.
    pub latency: Latency,
}

/// How long answers took, in microseconds. In an open loop from the moment at which the request was to leave, so that
/// a server that stands still is charged for all who would have come meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Pairs of percentile (0 to 100) and time, both growing: 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99 at least.
    pub percentiles: Vec<(f64, f64)>,
}

/// One second of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the window began, at the end of what is sampled.
    pub at_s: f64,
    /// Answers per second, expected ones.
    pub requests_per_s: f64,
    /// Their 99th percentile, in microseconds; `None` when there were none.
    pub p99_us: Option<f64>,
    /// Cores that the server kept busy, such as 1.4.
    pub cores: Option<f64>,
    /// Its resident memory, in bytes.
    pub memory_bytes: Option<u64>,
}

impl Latency {
    /// The time of a percentile that was kept.
    pub fn at(&self, percentile: f64) -> Option<f64> {
        self.percentiles.iter().find(|(p, _)| (p - percentile).abs() < 1e-9).map(|(_, time)| *time)
    }
}

impl Window {
    /// Expected answers per second.
    pub fn requests_per_s(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
        let count = self.latency.count as f64;
        if self.lasted_s > 0.0 { count / self.lasted_s } else { 0.0 }
    }

    /// Microseconds of CPU per expected answer.
    pub fn cpu_us_per_request(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
        let of = |cpu: u64| cpu as f64 / self.latency.count as f64;
        self.cpu_us.filter(|_| self.latency.count > 0).map(of)
    }
}
