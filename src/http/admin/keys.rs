//! API keys: the list, a new one, and their revocation.

use askama::Template;
use tracing::info;

use super::list::{self, List, Pager, ROWS};
use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, moment};
use crate::domain::{ServiceId, Sid, SidKind};
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::http::v2::params::{ServiceSid, Text, parameters};
use crate::registry::{ApiKey, Scope, Scopes};

const PATH: &str = "/admin/keys";

/// Scopes, and what a key with them may.
const SCOPES: [(&str, &str); 4] = [
    (Scope::Verify.as_str(), "send and check codes"),
    (Scope::Admin.as_str(), "change services and what belongs to them, and sign in here"),
    (Scope::Messages.as_str(), "carry codes of another system"),
    (Scope::Metrics.as_str(), "read metrics"),
];

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// For this service alone.
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// live or revoked.
        "state" = "live" => state: Option<Text<10>>,
    }
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    frame: Frame,
    header: PageHeader,
    list: List,
    /// Each with the name of its service.
    rows: Vec<(ApiKey, String)>,
    pager: Pager,
    services: Vec<(Sid, String)>,
    form: &'a Form,
    /// The key that was just made, with its secret.
    made: Option<(Sid, String)>,
}

fn scopes_of(key: &ApiKey) -> String {
    key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(", ")
}

/// `GET /admin/keys`.
pub fn page(request: &AdminRequest<'_>) -> Response {
    shown(request, &Form::default(), None)
}

/// Reads no record: keys are in memory.
fn shown(request: &AdminRequest<'_>, form: &Form, made: Option<(Sid, String)>) -> Response {
    let (mut list, filters) = List::read::<Filters>(request, PATH.to_owned());
    let states = ["live", "revoked"];
    let state = filters.as_ref().and_then(|filters| filters.state.clone());
    if state.as_ref().is_some_and(|state| !states.contains(&state.as_str())) {
        list.problem = Some("Invalid parameter `state`: it must be live or revoked".to_owned());
    }
    let service = filters.map(|filters| list.service(request, filters.service));
    let mut keys = match service {
        Some(Ok(service)) if list.problem.is_none() => {
            request.v2.registry.keys(service.map(|service| service.id))
        }
        _ => Vec::new(),
    };
    keys.retain(|key| state.as_ref().is_none_or(|state| (state == "live") == key.revoked.is_none()));
    let has_more = keys.len() > list.skip() + ROWS;
    let name = |id: Option<ServiceId>| {
        id.map_or_else(|| "all services".to_owned(), |id| request.v2.registry.named_by_id(id).1)
    };
    let rows = keys.into_iter().skip(list.skip()).take(ROWS).map(|key| {
        let service = name(key.service);
        (key, service)
    });
    let rows = rows.collect();
    list.choice("service", "For one service", request.services());
    list.choice("state", "State", states.map(|state| (state, state)));
    let (is_wrong, pager) = (list.problem.is_some(), list.pager(has_more, None).without_csv());
    let services = request.services();
    let page = |frame, header| KeysPage { frame, header, list, rows, pager, services, form, made };
    list::with_status(is_wrong, request.render(PATH, page))
}

/// `POST /admin/keys`: makes a key, or revokes one. The answer to the first is the only one with the secret.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Response {
    match form.field("action").unwrap_or_default().as_str() {
        "create" => match create(request, form).await {
            Ok(made) => shown(request, &Form::default(), Some(made)),
            Err(why) => {
                request.notify(Notice::failure(format!("No key was made: {why}.")));
                list::with_status(true, shown(request, form, None))
            }
        },
        "revoke" => request.redirect_with_notice(PATH, revoke(request, form).await),
        _ => {
            let text = "Nothing was changed: the form names no action.";
            request.redirect_with_notice(PATH, Notice::failure(text.to_owned()))
        }
    }
}

async fn create(request: &AdminRequest<'_>, form: &Form) -> Result<(Sid, String), String> {
    let service = form.text("service");
    let service = if service.is_empty() {
        None
    } else {
        let sid = Sid::parse(SidKind::Service, &service).ok_or("the service does not exist")?;
        Some(request.v2.registry.service(&sid).map_err(|error| error.to_string())?.id)
    };
    let given = form.fields().texts("scope").unwrap_or_default();
    let scopes: Option<Scopes> = given.iter().map(|scope| Scope::parse(scope)).collect();
    let scopes = scopes.filter(|_| !given.is_empty()).ok_or("choose what it may do")?;
    let name = Some(form.text("name")).filter(|name| !name.is_empty());
    let made = request.registry().create_key(service, scopes, name).await;
    let made = made.map_err(|error| error.to_string())?;
    info!(key = %made.key.sid, name = made.key.name, scopes = given.join(","), "API key created");
    Ok((made.key.sid, made.secret.expose().to_owned()))
}

async fn revoke(request: &AdminRequest<'_>, form: &Form) -> Notice {
    let Some(sid) = Sid::parse(SidKind::ApiKey, &form.text("key")) else {
        return Notice::failure("Nothing was revoked: there is no such key.".to_owned());
    };
    match request.registry().revoke_key(sid).await {
        Ok((_, already_revoked)) => {
            if !already_revoked {
                info!(key = %sid, "API key revoked");
            }
            Notice::success(format!("The key {sid} is revoked: the server refuses it."))
        }
        Err(error) => Notice::failure(format!("{sid} may still work: {error}. Revoke it again.")),
    }
}
