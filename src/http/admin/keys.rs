//! API keys: the list, a new one, and their revocation.

use tracing::info;

use super::prelude::*;
use crate::http::local::Keys;
use crate::registry::{ApiKey, Revocation, Scope};

const PATH: &str = "/admin/keys";

/// Scopes, and what a key with them may.
const SCOPES: [(Scope, &str); 4] = [
    (Scope::Verify, "send and check codes"),
    (Scope::Admin, "change services and what belongs to them, and sign in here"),
    (Scope::Messages, "carry codes of another system"),
    (Scope::Metrics, "read metrics"),
];

/// The filters of the list.
#[derive(Deserialize, JsonSchema)]
pub struct Filters {
    /// For one service
    pub service: Option<values::ServiceSid>,
    /// State
    pub state: Option<values::IsLive>,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<ApiKey>,
}

impl KeysPage<'_> {
    fn service_of(&self, key: &ApiKey) -> String {
        let name = |id: ServiceId| self.request.running.registry.title_of(id);
        key.service.map_or_else(|| "all services".to_owned(), name)
    }

    /// What the person may grant.
    fn scopes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let may = |scope: &Scope| self.request.caller.may_everywhere(*scope);
        SCOPES.into_iter().filter(move |(scope, _)| may(scope)).map(|(scope, words)| (scope.as_str(), words))
    }

    /// The ids of the live keys that were created with a key.
    fn created_with(&self, key: &ApiKey) -> Vec<String> {
        let created = self.request.running.registry.created_with(key.sid);
        created.iter().map(|created| created.sid.to_string()).collect()
    }
}

fn scopes_of(key: &ApiKey) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

/// `GET /admin/keys`.
/// Reads no record: keys are in memory.
pub async fn page(request: AdminRequest) -> Response {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    // Each has a form.
    list.rows = 15;
    let mut rows = Vec::new();
    if let Some(Filters { service, state }) = filters
        && let Ok(service) = list.service(&request, service)
    {
        let mut keys = request.running.registry.keys(service.map(|service| service.id));
        keys.retain(|key| state.as_ref().is_none_or(|is_live| is_live.0 == key.revoked.is_none()));
        rows = list.take_of_all(keys);
    }
    list::html(&list, &KeysPage { request: &request, list: &list, rows })
}

/// `POST /admin/keys`: makes a key, or revokes one. The page after the first is the only one with the secret.
pub async fn act(request: AdminRequest) -> PageResult {
    Ok(match request.field("action") {
        "create" => match create(&request).await {
            Ok((sid, secret)) => request.redirect_with_secret(PATH, sid, secret),
            Err(why) => request.redirect_with_form(PATH, Some(format!("No key was created: {why}."))),
        },
        "revoke" => request.redirect_with_notice(PATH, revoke(&request).await),
        _ => request.redirect_with_notice(PATH, Notice::failure(NO_ACTION)),
    })
}

async fn create(request: &AdminRequest) -> Result<(Sid, String), String> {
    let given = |name| Some(request.field(name).to_owned()).filter(|text| !text.is_empty());
    let scopes: Vec<String> = request.form.field("scope").unwrap_or_default();
    if scopes.is_empty() {
        return Err("choose what it may do".to_owned());
    }
    let keys = Keys { registry: request.registry(), account: &request.running.account };
    let key = keys.create(given("service"), scopes, given("name")).await?;
    Ok((key.sid, key.secret.unwrap_or_default()))
}

async fn revoke(request: &AdminRequest) -> Notice {
    let Some(sid) = Sid::parse(SidKind::ApiKey, request.field("key")) else {
        return Notice::failure("Nothing was revoked: there is no such key.");
    };
    match request.registry().revoke_key(sid, request.form.has("with-created", "yes")).await {
        Ok(Revocation { key, already_revoked, created }) => {
            let refused: Vec<String> =
                created.iter().filter(|key| key.revoked.is_some()).map(|key| key.sid.to_string()).collect();
            for key in refused.iter().chain((!already_revoked).then_some(&key.sid.to_string())) {
                info!(key, "API key revoked");
            }
            let with = match refused.as_slice() {
                [] => String::new(),
                refused => format!(" So are those created with it: {}.", refused.join(", ")),
            };
            Notice::success(format!("The key {sid} is revoked: the server refuses it.{with}"))
        }
        Err(error) => Notice::failure(format!("{sid} may still work: {error}. Revoke it again.")),
    }
}
