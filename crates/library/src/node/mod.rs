//! The services of one process: the store, the shards, delivery, the registry and webhooks. The server and the library
//! start them in the same way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod account;
pub mod history;
pub mod process;
mod reports;
mod results;
mod running;
pub mod server_key;

use std::sync::Arc;

use self::running::{open_store, start_shards};
use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::{ConfigErrors, GatewaySettings, Settings};
use crate::delivery::Routed;
use crate::delivery::attempts::AttemptLog;
use crate::domain::{GatewayName, Sid, SidKind};
use crate::engine::NumberState;
use crate::gateway::{GatewaySettingsError, Simulator, TwilioSender};
use crate::limits::guard::{GuardRow, RefusedNumber, VerifiedNumber};
use crate::limits::keys::KeyedRequest;
use crate::registry::audit::AuditEntry;
use crate::registry::{Credential, Registry, RegistryDeps, ServiceRecord, ServiceSettings};
use crate::shard::{Kinds, ShardDeps, Shards};
use crate::store::StoreError;
use crate::template::Templates;
use crate::verification::hosted::HostedSession;
use crate::webhook::EventRecord;
pub use account::AccountFile;

pub use reports::{CHALLENGE, ReportReceiver, TWIML};
pub use results::GatewayResults;
pub use running::{Running, StartOptions, Unready, seeded_rng};
pub use server_key::{KeyError, load_or_create};

/// Why the services did not start, or why the account got no new token. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings cannot be used. All errors are in it.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("there is no tokio runtime here; call it in one with time and I/O, such as #[tokio::main]")]
    NoRuntime,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gateway(#[from] GatewaySettingsError),
    #[error("write the services of the configuration: {0}; see that the disk has space")]
    Registry(#[from] crate::registry::RegistryError),
    #[error(
        "cannot store the account's credentials: {0}; free disk space (the log names the cause), or set \
         ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN in the environment, and try again"
    )]
    Account(#[source] crate::registry::RegistryError),
    /// The account's credentials are stored, but not in their file.
    #[error("{0}; then run `onceward keys root --new`")]
    AccountFile(#[source] KeyError),
    /// Unauthenticated clients can reach the server, and no API key exists.
    #[error(transparent)]
    Exposed(ConfigErrors),
    /// The client of the challenge service.
    #[error("captcha: {0}")]
    Captcha(#[from] crate::gateway::ClientError),
    /// A shard failed while the guard's records were read.
    #[error("the records of the pumping guard cannot be read: {0}")]
    Guard(#[from] crate::shard::Refusal),
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(rand::rngs::SysError),
    /// A thread of the start died.
    #[error("the start was interrupted: {0}")]
    Interrupted(tokio::task::JoinError),
}

impl StartError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Exposed(_))
    }

    /// Returns `true` if another program has the data directory open.
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Store(StoreError::InUse { .. }))
    }
}

// The list of every kind of record.

/// Every kind of record.
pub fn kinds() -> Kinds {
    Kinds::default()
        .with::<NumberState>()
        .with::<ServiceRecord>()
        .with::<Credential>()
        .with::<KeyedRequest>()
        .with::<AttemptLog>()
        .with::<EventRecord>()
        .with::<history::Row>()
        .with::<AuditEntry>()
        .with::<GuardRow>()
        .with::<RefusedNumber>()
        .with::<HostedSession>()
        .with::<VerifiedNumber>()
}

// The gateways that the settings ask for.

/// Every gateway, and the simulator once more for its inbox.
pub struct Gateways {
    /// The gateways with their names in the routing.
    pub routed: Vec<Routed>,
    /// The simulator, if it is configured.
    pub simulator: Option<Arc<Simulator>>,
}

/// Builds every gateway that is configured. Sends nothing.
pub fn build_gateways(
    settings: &GatewaySettings,
    clock: &(impl Clock + Clone),
) -> Result<Gateways, StartError> {
    let mut routed = Vec::new();
    for provider in &settings.providers {
        let name = provider.name();
        // Numbers that are routed to Twilio for texts are called by Twilio too.
        let is_meant = name == GatewayName::TwilioVoice && !settings.routing.names(name);
        let routed_as = if is_meant { GatewayName::TwilioMessages } else { name };
        routed.push(Routed { routed_as, gateway: provider.build(Arc::new(clock.clone()))? });
    }
    let simulator = settings.has_simulator().then(|| Arc::new(Simulator::new(Arc::new(clock.clone()))));
    if let Some(gateway) = simulator.clone() {
        routed.push(Routed { routed_as: GatewayName::Simulator, gateway });
    }
    Ok(Gateways { routed, simulator })
}

/// Twilio's id of the messaging service that text messages come from, if they do.
pub(super) fn messaging_service(gateways: &GatewaySettings) -> Option<Sid> {
    match &gateways.twilio_messages()?.sender {
        TwilioSender::MessagingService(sid) => Sid::parse(SidKind::MessagingService, sid),
        TwilioSender::Number(_) => None,
    }
}

/// Gateways that a messaging configuration can name: each once, and those that send texts.
pub(super) fn names_of(gateways: &[Routed]) -> Vec<GatewayName> {
    let mut names: Vec<GatewayName> = gateways.iter().map(|routed| routed.routed_as).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != GatewayName::TwilioVoice);
    names
}

// The registry of a data directory that no server uses, for the command line.

/// A registry with the directory's lock.
pub struct Offline {
    pub registry: Registry,
    pub account: AccountFile,
    shards: Shards,
}

impl Offline {
    /// Opens the data directory; one that is not there is made, with its server key. Only services and credentials in
    /// it change.
    ///
    /// # Errors
    /// As a server's start.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        let clock = EngineClock::over(Arc::new(SystemClock::start()));
        let (_, store) = open_store(settings.storage.clone(), clock.clone()).await?;
        let Settings { storage, registry, brand, policy, bounds, .. } = settings;
        let deps = ShardDeps { store, clock, bounds, metrics: Arc::default() };
        let shards = start_shards(deps, 1, seeded_rng()?).await?;
        let account = AccountFile::of(&storage.data_dir);
        let registry = Registry::open(RegistryDeps {
            shards: shards.clone(),
            settings: registry,
            default: ServiceSettings::of_policy(brand, &policy),
            // No message is sent from here.
            templates: Templates::new(""),
            gateways: Vec::new(),
            twilio_messaging_service: None,
        })
        .await?;
        Ok(Self { registry, account, shards })
    }

    /// Closes the store.
    ///
    /// # Errors
    /// When it could not be closed in an orderly way; what was answered is in the journal.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shards.close().await
    }
}
