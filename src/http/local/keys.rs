//! API keys, and the account's auth token. The command line uses [`Keys`] itself where no server runs.

use serde_json::{Value, json};

use crate::domain::{ServiceId, Sid, SidKind};
use crate::node::AccountFile;
use crate::registry::{ApiKey, Item, Registry, RegistryError, Revocation, Scope, Scopes};

/// Lists and changes keys, and logs the changes. Errors are in words for a person.
pub struct Keys<'a> {
    pub registry: Registry,
    pub account: &'a AccountFile,
}

impl Keys<'_> {
    pub fn list(&self, service: Option<&str>) -> Result<Vec<Value>, String> {
        let service = self.service(service)?;
        Ok(self.registry.keys(service).iter().map(|key| self.view(key)).collect())
    }

    /// The service is one that [`Registry::find_service`] finds; without one the key is for all.
    pub async fn create(
        &self,
        service: Option<String>,
        scopes: Vec<String>,
        name: Option<String>,
    ) -> Result<Value, String> {
        let service = self.service(service.as_deref())?;
        let scopes: Option<Scopes> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
        let scopes =
            scopes.ok_or_else(|| format!("a scope is {}", Scope::ALL.map(Scope::as_str).join(" or ")))?;
        let was_open = !self.registry.compatible_routes_need_key();
        let made = self.registry.create_key(service, scopes, name).await;
        let made = made.map_err(|error| words(&error))?;
        let mut view = self.view(&made.key);
        self.log(&made.key, "API key created");
        view["secret"] = made.secret.expose().into();
        if was_open && self.registry.compatible_routes_need_key() {
            tracing::info!("/api/*, /send-code and /verify-code need a key from now on");
            view["closes_routes"] = true.into();
        }
        Ok(view)
    }

    /// From now on the server refuses the key.
    /// With `with_created` it also refuses those that were created with it.
    pub async fn revoke(&self, sid: &str, with_created: bool) -> Result<Value, String> {
        let sid = Sid::parse(SidKind::ApiKey, sid).ok_or("a key is named by its id, SK...")?;
        let revoked = self.registry.revoke_key(sid, with_created).await;
        let Revocation { key, already_revoked, created } = revoked.map_err(|error| match error {
            RegistryError::Store(why) => format!(
                "{sid} is not revoked: {why}. Remove the cause, which the server's log names, and run the command again"
            ),
            error => words(&error),
        })?;
        let mut view = self.view(&key);
        if already_revoked {
            view["already_revoked"] = true.into();
        }
        let now = (!already_revoked).then_some(&key).into_iter();
        for revoked in now.chain(created.iter().filter(|other| other.revoked.is_some())) {
            self.log(revoked, "API key revoked");
        }
        if !created.is_empty() {
            view["created_keys"] = created.iter().map(|other| other.sid.to_string()).collect();
        }
        Ok(view)
    }

    /// Makes a new auth token for the account. The server refuses the old one from then on.
    pub async fn replace_token(&self) -> Result<Value, String> {
        let made = self.account.renew(&self.registry).await.map_err(|error| error.to_string())?;
        tracing::info!(account = %made.sid, "auth token replaced");
        let file = self.account.path().display().to_string();
        Ok(json!({ "account_sid": made.sid, "auth_token": made.token.expose(), "file": file }))
    }

    fn service(&self, text: Option<&str>) -> Result<Option<ServiceId>, String> {
        text.map(|text| self.registry.find_service(text).map(|service| service.id)).transpose()
    }

    /// A key without its secret. A removed service has no name.
    fn view(&self, key: &ApiKey) -> Value {
        let service = key.service.map(|id| (id, self.registry.service_by_id(id)));
        let service_sid = service.as_ref().map(|(id, service)| match service {
            Some(service) => service.sid.to_string(),
            None => format!("(removed service {})", id.get()),
        });
        json!({
            "sid": key.sid,
            "service_sid": service_sid,
            "service_name": service.and_then(|(_, service)| Some(self.registry.title(&*service?))),
            "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
            "name": key.name,
            "created": key.created,
            "created_by": key.creator.as_ref().map(ToString::to_string),
            "last_used": key.last_used,
            "revoked": key.revoked,
        })
    }

    fn log(&self, key: &ApiKey, event: &str) {
        let view = self.view(key);
        let service = view["service_name"].as_str().or(view["service_sid"].as_str()).unwrap_or("all");
        let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
        tracing::info!(key = %key.sid, name = key.name, service, scopes, "{event}");
    }
}

fn words(error: &RegistryError) -> String {
    match error {
        RegistryError::TooMany { item: Item::LiveKey, .. } => {
            format!("{error}; revoke one that is not used any more (onceward keys list)")
        }
        error => error.to_string(),
    }
}
