//! The measurements of a run: the JSON that it writes, and the input of the reports. Fields are added, never renamed.

use serde::{Deserialize, Serialize};

/// The description of the file in `--help`.
pub const JSON_FIELDS: &str = "\
JSON fields (--json; fields are added, never renamed; times end in their unit):
  form, program, began      version of this form, of the bench, RFC 3339 start
  machine                   processor, cores, kernel, file_system, fdatasync_us
  plan                      workload, connections, rate, gateway_delay_ms, live_numbers,
                            idle_connections, hanging_sends, window_s, rounds, seed
  servers[]                 name, what, ready_ms, idle_memory_bytes, windows[]
  servers[].windows[]       lasted_s, kinds[], latency, cpu_us, memory_bytes, samples[]
  ..windows[].kinds[]       name, answers, refused, unexpected, latency
  ..latency                 count, mean_us, max_us, percentiles[[percentile, us]]
  ..windows[].samples[]     at_s, requests_per_s, p99_us, cores, memory_bytes, disk_bytes
  summary.servers[]         name, all, kinds{}: answers, refused, unexpected, figures{}
  summary.ratios[]          of, to, all{}, kinds{}: the first server divided by another
  figures and ratios        requests_per_s, cpu_us_per_request, mean_us, p50_us, p90_us,
                            p99_us, p99_9_us, max_us, memory_bytes
  warnings[]                sentences";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub form: u32,
    pub program: String,
    pub began: String,
    pub machine: Machine,
    pub plan: Plan,
    /// The first is the one that ratios are made for.
    pub servers: Vec<Server>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: u32,
    pub kernel: String,
    /// Of the data directory; with the median of a write of 256 bytes with fdatasync there.
    pub file_system: String,
    pub fdatasync_us: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub workload: String,
    pub connections: u32,
    /// Requests per second of an open loop.
    pub rate: Option<u32>,
    pub gateway_delay_ms: u64,
    pub live_numbers: u64,
    pub idle_connections: u32,
    pub hanging_sends: u32,
    pub window_s: f64,
    pub rounds: u32,
    pub seed: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    pub name: String,
    /// A description in one line.
    pub what: String,
    /// From the start of its process until it is ready.
    pub ready_ms: Option<f64>,
    /// When it was ready, before the first request.
    pub idle_memory_bytes: Option<u64>,
    /// One for each round.
    pub windows: Vec<Window>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// From the first request to the last answer.
    pub lasted_s: f64,
    pub kinds: Vec<Kind>,
    /// Of all expected answers.
    pub latency: Latency,
    /// CPU time in the whole round, of all processes of the server.
    pub cpu_us: Option<u64>,
    /// The greatest in this window.
    pub memory_bytes: Option<u64>,
    pub samples: Vec<Sample>,
}

/// One kind of request, such as `check, wrong code`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    pub name: String,
    /// As expected.
    pub answers: u64,
    /// 429 and 503.
    pub refused: u64,
    /// Anything else, no answer included.
    pub unexpected: u64,
    pub latency: Latency,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    pub mean_us: f64,
    pub max_us: f64,
    pub percentiles: Vec<(f64, f64)>,
}

/// One second of a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at_s: f64,
    pub requests_per_s: f64,
    pub p99_us: Option<f64>,
    /// Cores that the server kept busy.
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Of the data directory of an onceward that the bench started.
    pub disk_bytes: Option<u64>,
}

impl Latency {
    pub fn at(&self, percentile: f64) -> Option<f64> {
        self.percentiles.iter().find(|(p, _)| (p - percentile).abs() < 1e-9).map(|(_, time)| *time)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench")]
pub fn float(value: u64) -> f64 {
    value as f64
}
