//! The validated settings, as the rest of the program knows them.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::Region;
use crate::engine::{Policy, SendOptions};
use crate::gateway::TwilioSettings;

/// Everything the program needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen: host (name or address) and port. Port 0 lets the system choose.
    pub listen: ListenAddress,
    /// Whether this is a production installation.
    pub production: bool,
    /// Log level and format.
    pub log: LogSettings,
    /// Rules of the default service (`/api/*`).
    pub policy: Policy,
    /// What a code sent through the tutorial's `/send-code` is like: 600 s, 6 digits.
    pub tutorial_code: SendOptions,
    /// Which set of answers `/api/*` gives.
    pub answers: AnswerSet,
    /// Text of the message of `/api/send-otp`; contains `{code}` or `_CODE_`.
    pub message: String,
    /// Text of the message of `/send-code`.
    pub tutorial_message: String,
    /// What `{brand}` stands for.
    pub brand: String,
    /// Directory of the embedded store.
    pub data_dir: PathBuf,
    /// A key file to use instead of `server.key` in the data directory.
    pub server_key_file: Option<PathBuf>,
    /// The provider.
    pub gateway: GatewaySettings,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
    /// The limit on everything.
    pub bounds: Bounds,
    /// Number of shards.
    pub shards: usize,
}

/// A host and port to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address; empty means every address.
    pub host: String,
    /// A port; 0 lets the system choose.
    pub port: u16,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is printed.
    pub level: tracing::Level,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which answers `/api/*` gives: `docs/api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSet {
    /// What the Redis version's README documents.
    Documented,
    /// What the Redis version's code does.
    AsBuilt,
}

/// Which provider sends.
#[derive(Debug, Clone)]
pub enum GatewaySettings {
    /// Twilio Messages.
    Twilio(TwilioSettings),
    /// Nothing leaves the machine; messages go to the inbox page.
    Simulator,
}

/// Limits on everything: `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Time for a client to send its request head.
    pub header_timeout: Duration,
    /// Time for a client to send its body.
    pub body_timeout: Duration,
    /// How long a connection may stay open with nothing to do.
    pub idle_timeout: Duration,
    /// Open connections.
    pub connections: usize,
    /// Commands accepted and not yet answered.
    pub commands: usize,
    /// Of these, for one number.
    pub commands_per_number: usize,
    /// Messages handed to the gateway and not yet answered by it.
    pub sends: usize,
    /// Messages waiting for one of those places.
    pub sends_waiting: usize,
    /// Budget of one synchronous send, waiting included.
    pub send_budget: Duration,
    /// Time for one commit before it counts as failed.
    pub commit_timeout: Duration,
    /// Time from the first signal to the end.
    pub graceful_stop: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections: 10_000,
            commands: 20_000,
            commands_per_number: 64,
            sends: 512,
            sends_waiting: 10_000,
            send_budget: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(5),
            graceful_stop: Duration::from_secs(30),
        }
    }
}
