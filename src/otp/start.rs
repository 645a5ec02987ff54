//! From the description to an engine that runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::handle::Engine;
use super::senders::Assembled;
use super::{Otp, OtpBuilder, StartError, sources};
use crate::app::Reports;
use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::{self, SettingError, Sources, limits};
use crate::node::{RegistryPlan, Running, StartOptions};

impl OtpBuilder {
    /// Begins with the configuration of the server: the file `config_file`, the environment of the process
    /// and `.env` in its working directory, as `docs/configuration.md` describes them. Paths in them are
    /// relative to the working directory. What is about HTTP in them is checked, and not used; warnings go
    /// to the log.
    ///
    /// # Errors
    /// [`StartError::Config`] with everything that is wrong in them.
    pub fn from_config(config_file: impl Into<PathBuf>) -> Result<Self, StartError> {
        Self::from_sources(&sources::of_server(config_file.into()))
    }

    /// The same with everything handed in, so that nothing of the process is read.
    ///
    /// # Errors
    /// As [`OtpBuilder::from_config`].
    pub fn from_sources(sources: &Sources) -> Result<Self, StartError> {
        let loaded = config::load(sources)?;
        for warning in loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self::from_settings(loaded.settings))
    }

    /// Opens the data directory, loads what is in it, and starts. Needs a tokio runtime with time and I/O
    /// (`enable_all`), of any flavour, which must outlive the engine.
    ///
    /// # Errors
    /// [`StartError::Setting`], [`StartError::Routing`] and [`StartError::Gateway`] name a value that cannot
    /// be used; nothing was opened then. [`StartError::InUse`] says that the data directory is open
    /// elsewhere, [`StartError::Engine`] that it cannot be read or written. After any error nothing is left
    /// running.
    pub async fn start(self) -> Result<Otp, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let Self { data_dir, server_key_file, mut delivery, tracker, policy, shards, bounds, .. } = self;
        if data_dir.as_os_str().is_empty() {
            return Err(SettingError::new("data directory", "\"\"", "it must be a path").into());
        }
        delivery.voice_fallback = delivery.voice && self.voice_fallback.unwrap_or(true);
        delivery.public_url = self.public_url.as_deref().map(limits::public_url).transpose()?.map(Arc::from);
        limits::policy(&policy)?;
        limits::delivery(&delivery)?;
        limits::tracker(&tracker)?;
        limits::engine(&bounds, shards)?;
        let brand = self.texts.brand().to_owned();
        let templates = self.texts.settle(policy.code)?;
        let source = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let clock = Arc::new(EngineClock::over(source));
        let shown = Arc::clone(&clock) as Arc<dyn Clock>;
        let Assembled { gateways, settings, channels } = self.senders.assemble(&delivery, &shown)?;
        let reports = Reports::new(&settings, delivery.public_url.as_ref());
        let longest_report = bounds.body_bytes;
        let registry = RegistryPlan::new(self.registry, brand, &settings, false);
        let running = Running::start(StartOptions {
            data_dir,
            server_key_file,
            clock,
            gateways: gateways.routed,
            routing: settings.routing,
            delivery,
            tracker,
            templates,
            policy,
            registry,
            shards,
            bounds,
            private_webhooks: true,
            loading: Arc::default(),
        })
        .await?;
        Ok(Otp::of(Engine {
            running: Arc::new(running),
            runtime,
            simulator: gateways.simulator,
            default_region: self.default_region,
            channels,
            reports,
            longest_report,
            stopping: AtomicBool::new(false),
            stopped: OnceCell::new(),
        }))
    }
}
