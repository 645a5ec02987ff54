//! Settings of an engine, and its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::handle::Engine;
use super::{Otp, StartError};
use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::{self, OwnGateway, Sources};
use crate::delivery::Routed;
use crate::domain::Channel;
use crate::gateway::Gateway;
use crate::node::{Running, StartOptions, build_gateways, process};

/// Describes an engine; [`OtpBuilder::start`] starts it.
///
/// The settings are the keys of the server's `config.json` and the variables of its gateways:
/// `docs/reference/configuration.md`. Settings of HTTP have no effect. Without settings the engine sends to an inbox in
/// memory ([`Otp::inbox_code`](super::Otp::inbox_code)), with six digits that live for five minutes, five attempts and a
/// lockout of 30 minutes. Nothing is checked before [`OtpBuilder::start`], whose error names every value that cannot be
/// used.
///
/// ```
/// use onceward_library::otp::Otp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let otp = Otp::builder(directory.path())
///     .set("brand", "Acme")
///     .set("otp-message", "{brand}: your code is {code}. It works for {minutes} minutes.")
///     .set("otp-messages", serde_json::json!({ "sms": { "de": "{brand}: Ihr Code ist {code}" } }))
///     .set("otp-timeout", "10m")
///     .set("otp-max-attempts", 3)
///     .start()
///     .await?;
/// # otp.stop().await?;
///
/// // A value that cannot be used is an error that names it.
/// let refused = Otp::builder(directory.path()).set("otp-max-attempts", 0).start().await;
/// assert!(refused.err().unwrap().to_string().contains("otp-max-attempts"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing runs before `start`"]
pub struct OtpBuilder {
    sources: Sources,
    data_dir: Option<PathBuf>,
    gateways: Vec<Arc<dyn Gateway>>,
    clock: Option<Arc<dyn Clock>>,
}

impl OtpBuilder {
    pub(super) const fn of(sources: Sources) -> Self {
        Self { sources, data_dir: None, gateways: Vec::new(), clock: None }
    }

    /// Sets a key of `config.json`, or a variable such as `TWILIO_AUTH_TOKEN`, in place of any earlier value. Numbers,
    /// lists and objects may be JSON values, and every value may be a text as in the file.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.sources.program.insert(key.into(), value.into());
        self
    }

    /// Adds a provider of your own: [`Gateway`]. It goes by the name that [`Gateway::name`] says, in
    /// `otp-sms-provider`, in lists and on the disk. There is at most one of each name; therefore choose one that is
    /// not used otherwise and keep it: a code that a gateway holds is checked by the gateway of that name.
    ///
    /// Without `otp-sms-provider` your gateways alone are tried, in the order in which you add them.
    pub fn gateway(mut self, gateway: Arc<dyn Gateway>) -> Self {
        let own = OwnGateway { name: gateway.name(), channels: gateway.channels().to_vec() };
        self.sources.gateways.push(own);
        self.gateways.push(gateway);
        self
    }

    /// Another clock than the machine's, such as a [`ManualClock`](super::ManualClock) in tests. It decides
    /// when codes expire and lockouts end, and must not run backwards while the engine runs; waits for gateways take real
    /// time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the data directory, loads it, and starts. Needs a tokio runtime with time and I/O (`enable_all`), of any
    /// flavour, which must outlive the engine.
    ///
    /// # Errors
    /// [`StartError::Config`] and [`StartError::Gateway`] name values that cannot be used; nothing was opened then.
    /// [`StoreError::InUse`](super::StoreError) in [`StartError::Store`] says that the data directory is open elsewhere.
    /// After any error nothing is left running.
    pub async fn start(self) -> Result<Otp, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let loaded = config::load(&self.sources)?;
        for warning in loaded.warnings {
            tracing::warn!(detail = %warning, "configuration warning");
        }
        let mut settings = loaded.settings;
        settings.storage.data_dir = self.data_dir.unwrap_or(settings.storage.data_dir);
        let source = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let clock = EngineClock::over(source);
        let mut gateways = build_gateways(&settings.gateways, &clock)?;
        let own = self.gateways.into_iter();
        gateways.routed.extend(own.map(|gateway| Routed { routed_as: gateway.name(), gateway }));
        let has_voice = settings.delivery.voice;
        let allowed = |channel: &Channel| {
            settings.gateways.serves(*channel) && (*channel != Channel::Call || has_voice)
        };
        let channels = Channel::ALL.into_iter().filter(allowed).collect();
        let default_region = settings.storage.default_region;
        let running = Running::start(StartOptions {
            settings,
            records: None,
            clock,
            gateways: gateways.routed,
            serves: false,
            metrics: Arc::default(),
        })
        .await?;
        let engine = Engine {
            running: Arc::new(running),
            runtime,
            simulator: gateways.simulator,
            default_region,
            channels,
            stopping: AtomicBool::new(false),
            stopped: OnceCell::new(),
        };
        Ok(Otp { engine: Arc::new(engine) })
    }
}

impl Otp {
    /// Begins to describe an engine whose state is kept in the directory `data_dir`. It is created if need be,
    /// and one engine at a time can use it.
    pub fn builder(data_dir: impl Into<PathBuf>) -> OtpBuilder {
        let sources = Sources { alone: true, parallelism: process::parallelism(), ..Sources::default() };
        let builder = OtpBuilder::of(sources).set("otp-timeout", "5m");
        OtpBuilder { data_dir: Some(data_dir.into()), ..builder }
    }

    /// Begins with the server's configuration: the file `config_file`, the environment of the process and `.env` in its
    /// working directory, as `docs/reference/configuration.md` describes them. Paths in them are relative to the
    /// working directory. The settings of HTTP are checked but ignored; warnings go to the log. Also accepts the settings
    /// of the Go framework's component: `docs/guides/older-servers.md`.
    pub fn from_config(config_file: impl Into<PathBuf>) -> OtpBuilder {
        OtpBuilder::of(Sources {
            config_file: Some(config_file.into()),
            environment: process::environment(),
            parallelism: process::parallelism(),
            ..Sources::default()
        })
    }
}
