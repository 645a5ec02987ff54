//! The handle of callers: the services, and what holds for all of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::audit::{Actor, Author};
use super::keys::{CredentialFingerprint, KEYS_PER_SERVICE};
use super::services::{Origin, SLOT, Service, ServiceRecord};
use super::{ApiKey, Credential};
use crate::config::NumberRule;
use crate::config::services::{RegistrySettings, SettingError, TestNumber, service_parameters};
use crate::config::templates::Template;
use crate::domain::{GatewayName, PhoneNumber, ServiceId, Sid, SidKind};
use crate::engine::Policy;
use crate::observe::metrics::ServiceNames;
use crate::shard::{Change, Record, Refusal, Shards, Stored, Transaction, service_of};
use crate::template::Templates;

/// The services that this installation has, and who may use them. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
    /// Who changes the registry through this handle; `None` for the server itself and for programs that embed the library.
    pub(super) author: Option<Author>,
}

pub(super) struct Inner {
    pub(super) shards: Shards,
    pub(super) current: Current,
    /// Stands for the default service until the store has been read.
    pub(super) default: Arc<Service>,
    /// The account's credentials, where the environment gives them.
    pub(super) given_root: Option<CredentialFingerprint>,
    pub(super) templates: Vec<Template>,
    /// The texts of the settings, and what every text must be.
    pub(super) checks: Templates,
    /// Gateways that are configured, with the ids that messaging configurations name them by.
    pub(super) gateways: Vec<(Sid, GatewayName)>,
    /// Without services, templates and account.
    pub(super) settings: RegistrySettings,
}

/// Entries of the audit log are kept for this long.
const AUDIT_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl Registry {
    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.inner.current.load()
    }

    /// The author of changes that `actor` asks for, by the request with this id.
    pub fn author(&self, actor: Actor, request_id: Option<&str>) -> Author {
        let keep_until = self.inner.shards.clock().now().plus(AUDIT_RETENTION);
        Author { actor, request_id: request_id.map(str::to_owned), keep_until }
    }

    /// A handle whose changes have this author.
    #[must_use]
    pub fn on_behalf_of(&self, author: Author) -> Self {
        Self { inner: Arc::clone(&self.inner), author: Some(author) }
    }

    /// Whether verifications may be sent to the number, by the setting `numbers`.
    pub fn accepts(&self, number: PhoneNumber) -> bool {
        self.inner.settings.numbers == NumberRule::Possible || number.is_in_a_plan()
    }

    /// The service with this id, as it is now; `None` when it was removed or is not in the configuration any more. Never
    /// waits.
    pub fn service_by_id(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.snapshot().by_id.get(&id).cloned()
    }

    /// Makes the services known by their names in the log and in metrics.
    pub fn provide_names(&self, names: &ServiceNames) {
        let current = Arc::clone(&self.inner.current);
        names.set(move |id| Some(current.load().by_id.get(&id)?.name()));
    }

    pub fn service(&self, sid: &Sid) -> Result<Arc<Service>> {
        let snapshot = self.snapshot();
        let found = snapshot.ids.get(sid).and_then(|id| snapshot.by_id.get(id));
        found.cloned().ok_or(RegistryError::NotFound(Item::Service))
    }

    /// The [`title`](Service::title) of a service that may have been deleted.
    pub fn title_of(&self, id: ServiceId) -> String {
        let service = self.service_by_id(id);
        service.map_or_else(|| "a deleted service".to_owned(), |service| service.title())
    }

    /// Finds a service by its sid, `default`, or its name in config.json: names that no tenant can take.
    pub fn find_service_exact(&self, text: &str) -> Option<Arc<Service>> {
        let sid = Sid::parse(SidKind::Service, text);
        let snapshot = self.snapshot();
        let found = snapshot.by_id.values().find(|found| match &found.origin {
            Origin::Default if text == ServiceId::DEFAULT_NAME => true,
            Origin::Config(name) if name == text => true,
            _ => sid.is_some_and(|sid| found.sid == sid),
        });
        found.cloned()
    }

    /// Finds a service by its sid, `default`, its name in config.json, or its friendly name if that is unique.
    pub fn find_service(&self, text: &str) -> Result<Arc<Service>, String> {
        let mut called = self.services(0, usize::MAX);
        called.retain(|found| found.settings.friendly_name == text);
        match (self.find_service_exact(text), &called[..]) {
            (Some(exact), _) => Ok(exact),
            (None, [only]) => Ok(Arc::clone(only)),
            (None, []) => Err(format!(
                "there is no service {text:?}; name it by its id (VA...), its name in config.json, its friendly name, or default"
            )),
            (None, several) => {
                let sids = several.iter().take(20).map(|found| found.sid.to_string()).collect::<Vec<_>>();
                Err(format!("there are several services {text:?}; name one by its id: {}", sids.join(", ")))
            }
        }
    }

    /// The id of every service that ever was: removed ones may have left records.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn ids(&self) -> Result<Vec<ServiceId>, Refusal> {
        let ids = |view: &Transaction<'_>| {
            view.iter::<ServiceRecord>().map(|(key, _)| service_of(&key.id)).collect::<Vec<_>>()
        };
        self.inner.shards.read(SLOT, ids).await
    }

    /// The service behind the compatible routes.
    pub fn default_service(&self) -> Arc<Service> {
        self.service_by_id(ServiceId::DEFAULT).unwrap_or_else(|| Arc::clone(&self.inner.default))
    }

    /// At most `limit` services after the first `skip`, the newest first.
    pub fn services(&self, skip: usize, limit: usize) -> Vec<Arc<Service>> {
        self.snapshot().by_id.values().rev().skip(skip).take(limit).cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.snapshot().by_id.len()
    }

    /// The rules of every service, those of the default one as given.
    pub fn policies(&self, default: Policy) -> Policies {
        Policies { default, current: Arc::clone(&self.inner.current) }
    }

    /// Returns `true` if the compatible routes (`/api/*`, `/send-code`, `/verify-code`) need the account's credentials or a key
    /// that may verify in the default service: where unauthenticated clients reach the server and are not allowed to, and
    /// since a key for just that exists, also when it is revoked.
    pub fn compatible_routes_need_key(&self) -> bool {
        let RegistrySettings { local_only, allows_unauthenticated, .. } = self.inner.settings;
        !allows_unauthenticated && (!local_only || self.snapshot().needs_key())
    }

    /// Whether the operator allows every client the compatible routes.
    pub fn allows_unauthenticated(&self) -> bool {
        self.inner.settings.allows_unauthenticated
    }

    pub fn live_keys(&self) -> usize {
        let snapshot = self.snapshot();
        snapshot.keys.values().filter(|key| snapshot.accepts(key)).count()
    }
}

// The snapshot that readers share. It follows the records of slot 0, and is replaced when a change is durable.

/// The present snapshot.
pub(super) type Current = Arc<ArcSwap<Snapshot>>;

/// Follows the records from here on. Of the services of config.json, only the `configured` ones are served.
pub(super) fn follow(shards: &Shards, configured: HashSet<String>) -> Current {
    let current = Current::default();
    follow_kind::<ServiceRecord>(shards, &current, move |snapshot, before, after| {
        let is_served = |service: &Service| match &service.origin {
            Origin::Config(name) => configured.contains(name),
            Origin::Default | Origin::Api => true,
        };
        snapshot.change_service(before, after, is_served);
    });
    follow_kind::<Credential>(shards, &current, Snapshot::change_credential);
    current
}

pub(super) fn follow_kind<R: Record>(
    shards: &Shards,
    current: &Current,
    change: impl Fn(&mut Snapshot, Option<R>, Option<R>) + Clone + Send + 'static,
) {
    let current = Arc::clone(current);
    shards.follow::<R>(move |changes| {
        let mut changes = changes.peekable();
        // One shard has all the records: another one that replaced the snapshot could undo what this one has published.
        if changes.peek().is_none() {
            return;
        }
        let mut next = Snapshot::clone(&current.load());
        for Change { before, after, .. } in changes {
            let record = |stored: Option<Stored>| stored.as_ref().and_then(Stored::record);
            change(&mut next, record(before), record(after));
        }
        current.store(Arc::new(next));
    });
}

/// Services and credentials as readers see them.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    /// Ids grow; therefore this is the order in which they were made.
    pub(super) by_id: BTreeMap<ServiceId, Arc<Service>>,
    pub(super) ids: HashMap<Sid, ServiceId>,
    /// `None` before the first start of a server is complete.
    pub(super) root: Option<CredentialFingerprint>,
    pub(super) keys: HashMap<Sid, Arc<ApiKey>>,
    /// Whether a key for the compatible routes was revoked.
    had_key: bool,
}

impl Snapshot {
    fn change_service(
        &mut self,
        before: Option<ServiceRecord>,
        after: Option<ServiceRecord>,
        is_served: impl Fn(&Service) -> bool,
    ) {
        match (before, after) {
            (_, Some(ServiceRecord::Present(service))) => {
                if is_served(&service) {
                    self.ids.insert(service.sid, service.id);
                    self.by_id.insert(service.id, Arc::from(service));
                }
            }
            (Some(ServiceRecord::Present(service)), _) => {
                self.ids.remove(&service.sid);
                self.by_id.remove(&service.id);
            }
            (_, _) => {}
        }
    }

    fn change_credential(&mut self, before: Option<Credential>, after: Option<Credential>) {
        match (before, after) {
            (_, Some(Credential::Key(key))) => drop(self.keys.insert(key.sid, Arc::new(key))),
            (_, Some(Credential::Root(root))) => self.root = Some(root),
            (_, Some(Credential::HadKey)) => self.had_key = true,
            (Some(Credential::Key(key)), None) => drop(self.keys.remove(&key.sid)),
            (_, None) => {}
        }
    }

    /// The key with this id, if it can be used.
    pub(super) fn live_key(&self, sid: &Sid) -> Option<&Arc<ApiKey>> {
        self.keys.get(sid).filter(|key| self.accepts(key))
    }

    /// Returns `true` if there is or was a key for the compatible routes and nothing else.
    pub(super) fn needs_key(&self) -> bool {
        self.had_key || self.keys.values().any(|key| key.is_for_compatible_routes())
    }

    /// Returns `true` unless the key is for a removed service.
    fn accepts(&self, key: &ApiKey) -> bool {
        key.service.is_none_or(|id| self.by_id.contains_key(&id))
    }
}

/// A cheap handle on the rules of every service. Each decision looks its rules up once.
#[derive(Clone)]
pub struct Policies {
    pub(super) default: Policy,
    pub(super) current: Current,
}

impl Policies {
    /// Returns `true` if the service exists. The server sends no messages for a removed service.
    pub fn serves(&self, service: ServiceId) -> bool {
        service == ServiceId::DEFAULT || self.current.load().by_id.contains_key(&service)
    }

    /// The rules of a service.
    pub fn of(&self, service: ServiceId) -> Policy {
        if service == ServiceId::DEFAULT {
            return self.default;
        }
        self.current.load().by_id.get(&service).map_or(self.default, |of| of.settings.policy())
    }
}

// Errors of the registry.

pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why the registry refused a change or a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no such {0}")]
    NotFound(Item),
    #[error("{field} {why}")]
    Invalid {
        /// Its name in the JSON of an answer: `code_length`.
        field: &'static str,
        /// The accepted values, as the end of a sentence that begins with the field.
        why: String,
    },
    /// One with this name, interval or country exists already.
    #[error("this {0} exists already")]
    Exists(Item),
    /// It comes from the configuration, and is changed there.
    #[error("{0}")]
    ReadOnly(String),
    #[error("limit reached: at most {limit} {item}s")]
    TooMany { item: Item, limit: usize },
    /// The shard or its store refused it.
    #[error(transparent)]
    Store(#[from] Refusal),
}

crate::named! {
    /// A kind of object in the registry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Item {
        Service = "service",
        Template = "template",
        RateLimit = "rate limit",
        Bucket = "bucket",
        MessagingConfiguration = "messaging configuration",
        TestNumber = "test number",
        Webhook = "webhook",
        ApiKey = "API key",
    }
}

impl Item {
    const fn limit(self) -> usize {
        match self {
            Self::Service => 10_000,
            Self::RateLimit => 25,
            // Each event is sent to each webhook.
            Self::Bucket | Self::Webhook => 10,
            Self::TestNumber => TestNumber::MOST,
            // For one service, or for all.
            Self::ApiKey => KEYS_PER_SERVICE,
            // One for each country; the configuration has templates.
            Self::MessagingConfiguration | Self::Template => usize::MAX,
        }
    }
}

impl RegistryError {
    pub(super) fn invalid(field: &'static str) -> impl FnOnce(String) -> Self {
        move |why| Self::Invalid { field, why }
    }

    pub(super) const fn too_many(item: Item) -> Self {
        Self::TooMany { item, limit: item.limit() }
    }
}

impl From<SettingError> for RegistryError {
    fn from(error: SettingError) -> Self {
        let SettingError { key, why } = error;
        let parameter = service_parameters().iter().find(|parameter| parameter.key == key);
        Self::Invalid { field: parameter.map_or("service", |parameter| &parameter.field), why }
    }
}

/// Refuses one more beside those that exist.
pub(super) fn check_room(used: usize, item: Item) -> Result<()> {
    if used < item.limit() { Ok(()) } else { Err(RegistryError::too_many(item)) }
}
