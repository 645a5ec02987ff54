//! Results that were made up, for tests of the reports.

use crate::bench::results::{Kind, Latency, Machine, Plan, Results, Sample, Server, Window};

const ALL: [f64; 12] = [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99];

/// A run of three servers in `rounds` windows of `seconds` samples; each round is one in a hundred slower than the one before.
pub(super) fn three_servers(rounds: u32, seconds: u32) -> Results {
    let server = |name: &str, what: &str, rate, cpu, p50, memory| Server {
        name: name.to_owned(),
        what: what.to_owned(),
        windows: (0..rounds).map(|round| window(round, seconds, rate, cpu, p50, memory)).collect(),
        ready_ms: Some(23.4),
    };
    Results {
        form: 1,
        program: "onceward 0.1.0".to_owned(),
        began: "2026-11-20T20:00:00Z".to_owned(),
        machine: Machine {
            processor: "Some Processor 9000 @ 2.90GHz".to_owned(),
            cores: 2,
            kernel: "6.1.0".to_owned(),
            file_system: "ext4".to_owned(),
            fdatasync_us: Some(142.3),
        },
        plan: Plan {
            workload: "send-verify".to_owned(),
            connections: 32,
            rate: None,
            gateway_delay_ms: 0,
            live_numbers: 1_000_000,
            window_s: seconds.into(),
            rounds,
            seed: 7,
        },
        servers: vec![
            server("onceward", "the release binary, every answer on the disk", 29_112.0, 26.1, 830.0, 18.4),
            server("ceiling", "hyper and one reqwest call per send, no state", 41_000.0, 13.5, 610.0, 9.1),
            server("redis", "the same job with redis-server, without a disk", 9_400.0, 142.0, 3_000.0, 41.7),
        ],
        warnings: Vec::new(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
fn window(round: u32, seconds: u32, rate: f64, cpu: f64, p50: f64, memory_mib: f64) -> Window {
    let slower = 1.0 + f64::from(round) / 100.0;
    let count = (rate / slower * f64::from(seconds)) as u64;
    let kind = |name: &str, times: f64| Kind {
        name: name.to_owned(),
        answers: count / 2,
        refused: 0,
        unexpected: 0,
        latency: latency(count / 2, p50 * slower * times),
    };
    let memory = |at: u32| ((memory_mib + f64::from(at + round * seconds) / 60.0) * 1024.0 * 1024.0) as u64;
    let sample = |at: u32| {
        let wave = 1.0 + (f64::from(at + 7 * round) * 0.7).sin() / 20.0;
        Sample {
            at_s: f64::from(at + 1),
            requests_per_s: short(rate / slower * wave),
            p99_us: Some(short(p50 * 2.4 / wave)),
            cores: Some(short(rate * cpu * wave / 1e6 * 16.0) / 16.0),
            memory_bytes: Some(memory(at)),
        }
    };
    Window {
        lasted_s: seconds.into(),
        kinds: vec![kind("send", 1.2), kind("check", 0.8)],
        latency: latency(count, p50 * slower),
        cpu_us: Some((cpu * rate * f64::from(seconds)) as u64),
        memory_bytes: Some(memory(seconds)),
        samples: (0..seconds).map(sample).collect(),
    }
}

/// Times that grow with each nine.
pub(super) fn latency(count: u64, p50: f64) -> Latency {
    let at = |percentile: f64| p50 * (0.7 - (1.0 - percentile / 100.0).log10()).powf(1.2);
    Latency {
        count,
        mean_us: short(p50 * 1.1),
        max_us: short(p50 * 9.0),
        percentiles: ALL.iter().map(|percentile| (*percentile, short(at(*percentile)))).collect(),
    }
}

/// Eighths are written and read again exactly.
fn short(value: f64) -> f64 {
    (value * 8.0).round() / 8.0
}
