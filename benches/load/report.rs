//! The table, and the same as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Window;
use crate::machine::Machine;

/// The servers, in the order of every array here.
const NAMES: [&str; 2] = ["onceward", "ceiling"];

/// One round: a window for each server.
pub struct Round {
    /// What the driver saw.
    pub windows: [Window; 2],
    /// CPU time that each server used.
    pub cpu: [Duration; 2],
}

/// Everything that was measured.
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// Connections at the same time.
    pub connections: u32,
    /// Length of a window.
    pub seconds: u64,
    /// The rounds in their order.
    pub rounds: Vec<Round>,
}

/// The figures of one server, in one round or as medians of all.
#[derive(Clone, Copy)]
struct Figures {
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

impl Report {
    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the purpose of the program")]
    pub fn print(&self) {
        println!("{}", self.machine);
        println!(
            "send, then verify; {} connections, {} rounds of {} s for each server; server, double and load share the cores",
            self.connections,
            self.rounds.len(),
            self.seconds
        );
        println!(
            "\n{:<18}{:>12}{:>10}{:>10}{:>20}",
            "", "requests/s", "p50 ms", "p99 ms", "CPU us per request"
        );
        for (index, round) in self.rounds.iter().enumerate() {
            for (which, name) in NAMES.iter().enumerate() {
                print_row(&format!("{} {name}", index + 1), round.figures(which));
            }
        }
        for (which, name) in NAMES.iter().enumerate() {
            print_row(&format!("median {name}"), self.medians(which));
        }
        println!(
            "\nonceward against the ceiling, median of the rounds: CPU per request {:.2}x, requests/s {:.2}x, p50 {:.2}x, p99 {:.2}x",
            self.ratio(|f| f.cpu_us),
            self.ratio(|f| f.requests_per_second),
            self.ratio(|f| f.p50_ms),
            self.ratio(|f| f.p99_ms)
        );
    }

    /// The same for a program.
    pub fn to_json(&self) -> String {
        let servers = |figures: &dyn Fn(usize) -> Figures| -> Value {
            (0..NAMES.len()).map(|which| (NAMES[which].to_owned(), figures(which).to_json())).collect()
        };
        let rounds: Vec<Value> =
            self.rounds.iter().map(|round| servers(&|which| round.figures(which))).collect();
        let report = json!({
            "machine": self.machine,
            "connections": self.connections,
            "seconds": self.seconds,
            "rounds": rounds,
            "median": servers(&|which| self.medians(which)),
            "ratio": {
                "cpu_us_per_request": self.ratio(|f| f.cpu_us),
                "requests_per_second": self.ratio(|f| f.requests_per_second),
                "p50_ms": self.ratio(|f| f.p50_ms),
                "p99_ms": self.ratio(|f| f.p99_ms),
            },
        });
        format!("{report:#}\n")
    }

    fn medians(&self, which: usize) -> Figures {
        let of = |value: fn(Figures) -> f64| median(self.rounds.iter().map(|r| value(r.figures(which))));
        Figures {
            requests_per_second: of(|f| f.requests_per_second),
            p50_ms: of(|f| f.p50_ms),
            p99_ms: of(|f| f.p99_ms),
            cpu_us: of(|f| f.cpu_us),
        }
    }

    /// Each round is compared with itself, so that a machine that slows down slows both.
    fn ratio(&self, value: fn(Figures) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| value(round.figures(0)) / value(round.figures(1))))
    }
}

impl Round {
    fn figures(&self, which: usize) -> Figures {
        let Window { requests, lasted, latencies } = &self.windows[which];
        // Exact up to 2^53 requests.
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 requests")]
        let requests = *requests as f64;
        let ms = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        Figures {
            requests_per_second: requests / lasted.as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            cpu_us: self.cpu[which].as_secs_f64() * 1e6 / requests,
        }
    }
}

impl Figures {
    fn to_json(self) -> Value {
        json!({
            "requests_per_second": self.requests_per_second,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "cpu_us_per_request": self.cpu_us,
        })
    }
}

#[expect(clippy::print_stdout, reason = "the purpose of the program")]
fn print_row(name: &str, figures: Figures) {
    let Figures { requests_per_second, p50_ms, p99_ms, cpu_us } = figures;
    println!("{name:<18}{requests_per_second:>12.0}{p50_ms:>10.2}{p99_ms:>10.2}{cpu_us:>20.1}");
}

/// The middle one, or the mean of the two middle ones.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
