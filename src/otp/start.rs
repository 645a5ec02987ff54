//! From the description to an engine that runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::handle::Engine;
use super::senders::Assembled;
use super::{Otp, OtpBuilder, StartError, sources};
use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::kind::{
    Attempts, BodyBytes, BreakerFailures, BreakerWait, CodeLife, Commands, CommandsPerNumber, Kind as _,
    Lockout, Numbers, Retries, RetryWait, Sends, SendsWaiting, Shards, Span, StepWait, TrackerAge,
    TrackerSize, Whole, WorkBudget, WorkflowSends, quoted,
};
use crate::config::values::{BaseUrl, Workflow, may_hold_password};
use crate::config::{
    self, Bounds, BreakerSettings, DeliverySettings, RetrySettings, SettingError, Sources, TrackerSettings,
};
use crate::engine::Policy;
use crate::node::{RegistryPlan, ReportReceiver, Running, StartOptions};

impl OtpBuilder {
    /// Starts from the server's configuration: the file `config_file`, the environment of the process and `.env` in its
    /// working directory, as `docs/reference/configuration.md` describes them. Paths in them are relative to the
    /// working directory. The settings of HTTP are checked but ignored; warnings go to the log.
    ///
    /// # Errors
    /// [`StartError::Config`] with all errors in them.
    pub fn from_config(config_file: impl Into<PathBuf>) -> Result<Self, StartError> {
        Self::from_sources(&sources::of_server(config_file.into()))
    }

    /// The same with all sources as parameters: reads nothing of the process.
    ///
    /// # Errors
    /// As [`OtpBuilder::from_config`].
    pub fn from_sources(sources: &Sources) -> Result<Self, StartError> {
        let loaded = config::load(sources)?;
        for warning in loaded.warnings {
            tracing::warn!(detail = %warning, "configuration warning");
        }
        Ok(Self::from_settings(loaded.settings))
    }

    /// Opens the data directory, loads it, and starts. Needs a tokio runtime with time and I/O (`enable_all`), of any
    /// flavour, which must outlive the engine.
    ///
    /// # Errors
    /// [`StartError::Setting`], [`StartError::Routing`] and [`StartError::Gateway`] name a value that cannot
    /// be used; nothing was opened then. [`StartError::InUse`] says that the data directory is open
    /// elsewhere, [`StartError::Engine`] that it cannot be read or written. After any error nothing is left
    /// running.
    pub async fn start(self) -> Result<Otp, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let Self { storage, mut delivery, tracker, history, guard, policy, shards, bounds, .. } = self;
        if storage.data_dir.as_os_str().is_empty() {
            return Err(SettingError::new("data directory", "\"\"", "it must be a path").into());
        }
        delivery.voice_fallback = delivery.voice && self.voice_fallback.unwrap_or(true);
        delivery.public_url = self.public_url.as_deref().map(public_url).transpose()?;
        check_policy(&policy)?;
        check_delivery(&delivery)?;
        check_sizes(&tracker, &bounds, shards)?;
        let brand = self.texts.brand().to_owned();
        let templates = self.texts.build(policy.code)?;
        let source = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let clock = Arc::new(EngineClock::over(source));
        let shown = Arc::clone(&clock) as Arc<dyn Clock>;
        let Assembled { gateways, settings, channels } = self.senders.assemble(&delivery, &shown)?;
        let reports = ReportReceiver::new(&settings, delivery.public_url.as_ref());
        let longest_report = bounds.body_bytes;
        let registry = RegistryPlan::new(self.registry, brand, &settings, false);
        let default_region = storage.default_region;
        let running = Running::start(StartOptions {
            storage,
            records: None,
            clock,
            gateways: gateways.routed,
            routing: settings.routing,
            delivery,
            tracker,
            history,
            guard,
            templates,
            policy,
            registry,
            shards,
            bounds,
            private_webhooks: false,
            loading: Arc::default(),
            metrics: Arc::default(),
            tracer: None,
        })
        .await?;
        Ok(Otp::of(Engine {
            running: Arc::new(running),
            runtime,
            simulator: gateways.simulator,
            default_region,
            channels,
            reports,
            longest_report,
            stopping: AtomicBool::new(false),
            stopped: OnceCell::new(),
        }))
    }
}

/// The address under which providers reach this program, without a slash at the end.
fn public_url(given: &str) -> Result<Arc<str>, SettingError> {
    let shown = || if may_hold_password(given) { "(not shown)".to_owned() } else { quoted(given) };
    let problem = || format!("it must be {}", BaseUrl::accepted());
    BaseUrl::read(given).ok_or_else(|| SettingError::new("public_url", shown(), problem()))
}

fn check_policy(policy: &Policy) -> Result<(), SettingError> {
    Whole::<Attempts>::check("attempts", policy.max_attempts)?;
    Span::<Lockout>::check("lockout", policy.lockout_time())?;
    Span::<CodeLife>::check("code life", policy.code.life)?;
    let shown = || humantime::format_duration(policy.lockout_time());
    policy.check_strength().map_err(|why| SettingError::new("lockout", shown(), format!("it {why}")))
}

fn check_delivery(delivery: &DeliverySettings) -> Result<(), SettingError> {
    let shown = humantime::format_duration;
    if let Some(RetrySettings { max_retries, first_wait, longest_wait }) = delivery.retry {
        Whole::<Retries>::check("retry.max_retries", max_retries)?;
        Span::<RetryWait>::check("retry.longest_wait", longest_wait)?;
        if first_wait.is_zero() || first_wait > longest_wait {
            let problem = "it must be longer than nothing and not longer than retry.longest_wait";
            return Err(SettingError::new("retry.first_wait", shown(first_wait), problem));
        }
    }
    if delivery.workflow.len() > Workflow::LONGEST {
        let problem = format!("it must be at most {}", Workflow::LONGEST);
        return Err(SettingError::new("workflow steps", delivery.workflow.len(), problem));
    }
    for step in &delivery.workflow {
        Span::<StepWait>::check("workflow timeout", step.timeout)?;
    }
    Whole::<WorkflowSends>::check("workflow_sends", delivery.workflow_sends)?;
    let BreakerSettings { failures, open_for, longest } = delivery.breaker;
    Whole::<BreakerFailures>::check("breaker.failures", failures)?;
    Span::<BreakerWait>::check("breaker.open_for", open_for)?;
    Span::<BreakerWait>::check("breaker.longest", longest)?;
    if longest < open_for {
        let problem = format!("it must not be shorter than breaker.open_for, which is {}", shown(open_for));
        return Err(SettingError::new("breaker.longest", shown(longest), problem));
    }
    Ok(())
}

/// The limits of an engine, without those of the server's HTTP front end.
fn check_sizes(tracker: &TrackerSettings, bounds: &Bounds, shards: usize) -> Result<(), SettingError> {
    Span::<TrackerAge>::check("tracker.keep_for", tracker.keep_for)?;
    Whole::<TrackerSize>::check("tracker.keep_at_most", tracker.keep_at_most)?;
    Whole::<Shards>::check("shards", shards)?;
    Whole::<Numbers>::check("bounds.numbers", bounds.numbers)?;
    Whole::<Commands>::check("bounds.commands", bounds.commands)?;
    Whole::<CommandsPerNumber>::check("bounds.commands_per_number", bounds.commands_per_number)?;
    Whole::<Sends>::check("bounds.sends", bounds.sends)?;
    Whole::<SendsWaiting>::check("bounds.sends_waiting", bounds.sends_waiting)?;
    Whole::<BodyBytes>::check("bounds.body_bytes", bounds.body_bytes)?;
    Span::<WorkBudget>::check("bounds.send_budget", bounds.send_budget)?;
    Span::<WorkBudget>::check("bounds.commit_timeout", bounds.commit_timeout)
}
