//! What `onceward bench` and `cargo bench --bench load` do: play the HTTP clients and Twilio on loopback against
//! servers of their own or against one that is there already, and measure.
//!
//! `run` puts a run together from the parts: servers as child processes (`child`, `process`, `reference`), the double
//! of Twilio (`twilio`), connections (`line`) that follow a `script`, a `schedule` for open loops, and what they saw
//! (`tally`), which becomes the `results`. `docs/bench.md` explains the method to those who use it.

pub mod answers;
pub mod child;
mod doubts;
mod drive;
mod driver;
mod error;
pub mod line;
pub mod live;
pub mod machine;
mod moments;
pub mod numbers;
mod options;
pub mod process;
pub mod reference;
pub mod report;
pub mod results;
mod run;
mod schedule;
mod script;
mod servers;
mod tally;
pub mod twilio;

pub use error::BenchError;
pub use moments::now;
pub use options::{Answers, Beside, Options, Target, Watcher, Workload};
pub use run::{Done, run};
