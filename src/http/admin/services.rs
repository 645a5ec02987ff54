//! Services: the list, and the settings of one.

use std::sync::Arc;

use serde_json::Value;

use super::list::{Field, text_of};
use super::prelude::*;
use crate::config::services::{ServiceParameter, service_parameters};
use crate::http::api::services::settings;
use crate::registry::Origin;
use crate::verification::hosted::{ReturnTarget, SessionRequest};

const PATH: &str = "/admin/services";

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<Arc<Service>>,
}

#[derive(Template)]
#[template(path = "service.html")]
struct ServicePage<'a> {
    request: &'a AdminRequest,
    service: Arc<Service>,
    title: String,
    fields: Vec<Field>,
    /// The keys that are for it alone.
    keys: usize,
}

/// `Code length` of `code-length`.
fn label_of(key: &str) -> String {
    let mut words = key.replace('-', " ").replace("url", "URL");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// Where its settings are changed.
fn origin_of(service: &Service) -> String {
    match &service.origin {
        Origin::Api => "here, or over the API".to_owned(),
        Origin::Default => "in the top-level keys of config.json".to_owned(),
        Origin::Config(name) => format!("in services.{name} of config.json"),
    }
}

fn is_changeable(service: &Service) -> bool {
    service.origin == Origin::Api
}

/// `GET /admin/services`.
pub async fn page(request: AdminRequest) -> Response {
    let (mut list, ()) = List::read(&request, PATH);
    let rows = list.take_of_all(request.running.registry.services(0, usize::MAX));
    list::html(&list, &ServicesPage { request: &request, list: &list, rows })
}

/// `POST /admin/services`: makes a service, and leads to its page.
pub async fn create(request: AdminRequest) -> PageResult {
    let made = async { Ok::<_, Error>(request.registry().create_service(settings(&request.form)?).await?) };
    match made.await {
        Ok(service) => {
            let text = format!("The service {} is created.", service.settings.friendly_name);
            request.tell(&format!("{PATH}/{}", service.sid), Ok(text))
        }
        Err(error) => Ok(page(request.failed(format!("No service was created. {error}"))).await),
    }
}

/// The service that the path names.
fn named(request: &AdminRequest) -> Option<Arc<Service>> {
    request.service(request.call.param("Sid")?)
}

/// `GET /admin/services/{Sid}`.
pub async fn one(request: AdminRequest) -> PageResult {
    named(&request).map_or_else(|| unknown(&request), |service| Ok(settings_page(&request, service)))
}

/// The page of a service, with what a person typed.
fn settings_page(request: &AdminRequest, service: Arc<Service>) -> Response {
    let current = service.settings.members();
    let field = |ServiceParameter { name, key, schema, .. }: &ServiceParameter| {
        let about = schema["description"].as_str().unwrap_or_default().replace('`', "").replace('\n', " ");
        // The API keeps it for Twilio's clients.
        if about.starts_with("Kept and shown without effect") {
            return None;
        }
        let typed = request.form.given(&[name.as_str()]).next().map(|(_, text)| text.to_owned());
        let value = typed.unwrap_or_else(|| text_of(current.get(key).unwrap_or(&Value::Null)));
        let about = format!("{about} ({name})");
        Some(Field { about, ..Field::new(name, &label_of(key), schema, value, None) })
    };
    let fields = service_parameters().iter().filter_map(field).collect();
    let keys = request.running.registry.keys(Some(service.id)).len();
    let title = service.title();
    html(&ServicePage { request, service, title, fields, keys })
}

/// `POST /admin/services/{Sid}`: changes what differs, or deletes the service.
pub async fn act(request: AdminRequest) -> PageResult {
    let Some(service) = named(&request) else { return unknown(&request) };
    let path = format!("{PATH}/{}", service.sid);
    let name = &service.settings.friendly_name;
    let notice = match request.field("action") {
        "delete" if request.field("confirmed") != name => {
            Err("Nothing was deleted: type the name of the service.".to_owned())
        }
        "delete" => match request.registry().delete_service(service.sid).await {
            Ok(()) => return request.tell(PATH, Ok(format!("The service {name} is deleted."))),
            Err(error) => Err(format!("Nothing was deleted: {error}.")),
        },
        "preview" => return preview(&request, &service).await,
        "update" => match update(&request, &service).await {
            Ok(notice) => notice,
            Err(error) => {
                let request = request.failed(format!("Nothing was changed. {error}"));
                return Ok(settings_page(&request, service));
            }
        },
        _ => Err(NO_ACTION.to_owned()),
    };
    request.tell(&path, notice)
}

/// The address that the hosted page of a service returns to first.
fn return_url(service: &Service) -> Option<&str> {
    service.settings.return_urls.as_deref()?.split_whitespace().next()
}

/// Begins a session of the hosted page, as the application does.
async fn preview(request: &AdminRequest, service: &Service) -> PageResult {
    let Some(url) = return_url(service) else { return unknown(request) };
    let returns_to = ReturnTarget { address: url.to_owned(), ..ReturnTarget::default() };
    let asked = SessionRequest { may_change: true, returns_to, ..SessionRequest::default() };
    let (secret, _) = request.running.hosted.create(service.id, asked).await?;
    Ok(redirect(&format!("/verify/{}", secret.expose())))
}

async fn update(request: &AdminRequest, service: &Service) -> Result<Notice, Error> {
    let current = service.settings.members();
    let mut given = settings(&request.form)?;
    given.retain(|key, value| current.get(key).unwrap_or(&Value::Null) != value);
    if given.is_empty() {
        return Ok(Err("Nothing was changed: every value is as before.".to_owned()));
    }
    request.registry().update_service(service.sid, given).await?;
    Ok(Ok("The service is changed.".to_owned()))
}

fn unknown(request: &AdminRequest) -> PageResult {
    request.tell(PATH, Err("There is no such service.".to_owned()))
}
