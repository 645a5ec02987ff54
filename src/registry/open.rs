//! Opening: what the store has, and what the configuration says of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use rand::rngs::StdRng;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use super::authenticate::hash;
use super::configured;
use super::credential::KeptKey;
use super::record::{self, CredentialRecord, KEPT_UNTIL, SafeNumberRecord, StoredService, service_key};
use super::root::ROOT;
use super::safe_list::SafeList;
use super::snapshot::Credentials;
use super::template::Shelf;
use super::writer::{WAITING, Writer};
use super::{
    DefaultService, Exposure, Inner, OpenError, Registry, RegistrySettings, SafeNumber, Service, gateway_sid,
};
use crate::clock::Clock;
use crate::config::services::AccountSettings;
use crate::domain::{GatewayName, ServiceId, Sid};
use crate::store::{Key, Kind, Outcome, Revision, Store, StoreError, Write};
use crate::template::Templates;

/// What a registry is made of.
pub struct RegistryParts {
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub rng: StdRng,
    /// What the configuration says.
    pub settings: RegistrySettings,
    /// What it says of the service of the compatible routes.
    pub default: DefaultService,
    /// What texts of messages are checked with.
    pub templates: Templates,
    /// The gateways that are configured.
    pub gateways: Vec<GatewayName>,
    /// Twilio's own id of the messaging service that text messages are sent from, if there is one.
    pub twilio_messaging_service: Option<Sid>,
    /// Time for one commit before it counts as failed.
    pub commit_timeout: Duration,
}

/// A record as it was found.
type Found = (Key, Revision, Bytes);

impl Registry {
    /// Reads what the store has, and brings it up to what the configuration says: a service of config.json gets its id at the
    /// first start that knows it, and keeps it.
    ///
    /// # Errors
    /// [`OpenError`]. A record that cannot be read is never passed over: the service would be made anew, with another id.
    pub async fn open(parts: RegistryParts) -> Result<Self, OpenError> {
        let RegistryParts { store, clock, rng, settings, default, .. } = parts;
        let mut writer =
            Writer { rng, revisions: HashMap::new(), next_service: 1, next_credential: ROOT + 1 };
        let shelf = Shelf::of(&settings.templates, parts.templates, clock.wall());

        let mut kept: BTreeMap<ServiceId, Service> = BTreeMap::new();
        for (key, revision, sealed) in scan(&store, Kind::Service).await? {
            let found = record::read_service(key.service, &sealed).map_err(damaged("services"))?;
            writer.revisions.insert(key, Some(revision));
            writer.next_service = writer.next_service.max(key.service.get().saturating_add(1));
            if let StoredService::Kept(service) = found {
                kept.insert(service.id, *service);
            }
        }
        let (served, changed) =
            configured::bring_up(kept, &settings.services, &default, &mut writer, clock.wall())?;
        write_all(&store, &mut writer, &changed, parts.commit_timeout).await?;

        let mut credentials = Credentials::default();
        for (key, revision, sealed) in scan(&store, Kind::Credential).await? {
            writer.revisions.insert(key, Some(revision));
            writer.next_credential = writer.next_credential.max(key.subject.0.saturating_add(1));
            match record::open(&sealed).map_err(damaged("credentials"))? {
                CredentialRecord::Root(root) => {
                    credentials.root = Some(root.read().map_err(damaged("credentials"))?);
                }
                CredentialRecord::Key(read) => {
                    let (read, hash) = read.read().map_err(damaged("credentials"))?;
                    let kept = KeptKey::new(read, hash, key.subject.0);
                    credentials.keys.insert(kept.key.sid, Arc::new(kept));
                }
            }
        }
        if let Some(AccountSettings { sid, token }) = &settings.account {
            credentials.root = Some((*sid, hash(token.expose())));
            credentials.root_is_given = true;
        }

        let mut safe: Vec<SafeNumber> = Vec::new();
        for (key, revision, sealed) in scan(&store, Kind::SafeNumber).await? {
            writer.revisions.insert(key, Some(revision));
            let read: Result<SafeNumberRecord, String> = record::open(&sealed);
            let read = read.and_then(|read| read.read(key.subject.0));
            safe.push(read.map_err(damaged("numbers on the safe list"))?);
        }

        let mut gateways: Vec<(Sid, GatewayName)> =
            parts.gateways.iter().map(|name| (gateway_sid(*name), *name)).collect();
        if parts.gateways.contains(&GatewayName::TwilioMessages) {
            gateways.extend(parts.twilio_messaging_service.map(|sid| (sid, GatewayName::TwilioMessages)));
        }
        let exposure = Exposure { loopback: settings.loopback, allows_strangers: settings.allows_strangers };
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            commit_timeout: parts.commit_timeout,
            services: ArcSwap::from_pointee(served),
            credentials: ArcSwap::from_pointee(credentials),
            safe_list: SafeList::of(safe),
            templates: shelf,
            gateways,
            exposure,
            generation: watch::Sender::new(0),
            writer: Arc::new(Mutex::new(writer)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        })))
    }
}

fn damaged(what: &'static str) -> impl FnOnce(String) -> OpenError {
    move |why| OpenError::Record { what, why }
}

/// Every record of a kind.
async fn scan(store: &Arc<dyn Store>, kind: Kind) -> Result<Vec<Found>, StoreError> {
    let (found, mut records) = mpsc::unbounded_channel();
    let visit = move |key, revision, sealed: &[u8]| {
        // The other end is below, and reads when the scan is over.
        let _ = found.send((key, revision, Bytes::copy_from_slice(sealed)));
    };
    store.scan(kind, Box::new(visit)).await?;
    let mut all = Vec::new();
    while let Ok(record) = records.try_recv() {
        all.push(record);
    }
    Ok(all)
}

/// Makes services durable, in one commit.
async fn write_all(
    store: &Arc<dyn Store>,
    writer: &mut Writer,
    services: &[Service],
    timeout: Duration,
) -> Result<(), OpenError> {
    if services.is_empty() {
        return Ok(());
    }
    let mut batch = Vec::with_capacity(services.len());
    for service in services {
        let key = service_key(service.id);
        let expect = writer.revisions.get(&key).copied().flatten().unwrap_or(Revision::ABSENT);
        let put = Some(record::write_service(service).map_err(damaged("services"))?);
        batch.push(Write { key, expect, put, gc_after: KEPT_UNTIL });
    }
    let keys: Vec<Key> = batch.iter().map(|write| write.key).collect();
    for (key, outcome) in keys.into_iter().zip(store.cas(batch, timeout).await?) {
        match outcome {
            Outcome::Applied(revision) => writer.revisions.insert(key, Some(revision)),
            Outcome::Conflict(_) => {
                return Err(StoreError::Unavailable("somebody else batch to it".to_owned()).into());
            }
        };
    }
    Ok(())
}
