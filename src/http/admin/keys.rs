//! API keys: the list, a new one, and their revocation.

use super::prelude::*;
use crate::http::local::Keys;
use crate::registry::{ApiKey, Scope};

const PATH: &str = "/admin/keys";

/// Scopes, and what a key with them may.
const SCOPES: [(Scope, &str); 4] = [
    (Scope::Verify, "send and check codes"),
    (Scope::Admin, "change services and what belongs to them, and sign in here"),
    (Scope::Messages, "carry codes of another system"),
    (Scope::Metrics, "read metrics"),
];

/// The filters of the list.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// For one service
    pub service: Option<values::ServiceSid>,
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
}

fn scopes_of(key: &ApiKey) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

/// `GET /admin/keys`.
/// Reads no record: keys are in memory.
pub async fn page(request: AdminRequest) -> Response {
    let (mut list, Filters { service }) = List::read(&request, PATH);
    // Each has a form.
    list.rows = 15;
    let service = list.service(&request, service);
    let rows = list.take_of_all(request.running.registry.keys(service.map(|service| service.id)));
    list::html(&list, &KeysPage { request: &request, list: &list, rows })
}

/// `POST /admin/keys`: makes a key, or revokes one. The page after the first is the only one with the secret.
pub async fn act(request: AdminRequest) -> PageResult {
    match request.field("action") {
        "create" => match create(&request).await {
            Ok((sid, secret)) => request.show_made(PATH, sid, secret),
            Err(why) => Ok(page(request.failed(format!("No key was created: {why}."))).await),
        },
        "revoke" => request.tell(PATH, revoke(&request).await),
        _ => request.tell(PATH, Err(NO_ACTION.to_owned())),
    }
}

async fn create(request: &AdminRequest) -> Result<(Sid, String), String> {
    let given = |name| Some(request.field(name).to_owned()).filter(|text| !text.is_empty());
    let scopes: Vec<String> = request.form.field("scope").unwrap_or_default();
    if scopes.is_empty() {
        return Err("choose what it may do".to_owned());
    }
    let key = keys(request).create(given("service"), scopes, given("name")).await?;
    let [sid, secret] = ["sid", "secret"].map(|name| key[name].as_str().unwrap_or_default());
    Ok((Sid::parse(SidKind::ApiKey, sid).ok_or("its id cannot be read")?, secret.to_owned()))
}

async fn revoke(request: &AdminRequest) -> Notice {
    let sid = Sid::parse(SidKind::ApiKey, request.field("key"));
    let sid = sid.ok_or("Nothing was revoked: there is no such key.")?;
    let revoked = keys(request).revoke(sid).await;
    revoked.map_err(|error| format!("{sid} may still work: {error}. Revoke it again."))?;
    Ok(format!("The key {sid} is revoked: the server refuses it."))
}

fn keys(request: &AdminRequest) -> Keys<'_> {
    Keys { registry: request.registry(), account: &request.running.account }
}
