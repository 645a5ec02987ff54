//! Services: the list, and the settings of one.

use std::sync::Arc;

use serde_json::Value;

use super::list::{Field, text_of};
use super::prelude::*;
use crate::config::services::{ServiceParameter, service_parameters};
use crate::http::api::services::settings;
use crate::registry::Origin;
use crate::verification::hosted::SessionRequest;

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
    groups: Vec<(&'static str, Vec<Field>)>,
    /// The keys that are for it alone.
    keys: usize,
}

/// Settings with an effect, by what they are about: their keys. One that is in no group is in the first.
static GROUPS: [(&str, &str); 4] = [
    (
        "Codes and checks",
        "friendly-name code-length code-life max-checks max-sends lockout resend cooling-down custom-code",
    ),
    (
        "Messages",
        "locale default-template do-not-share-warning workflow send-budget sender skip-sms-to-landlines",
    ),
    ("Hosted page", "return-urls embed-origins logo-url accent-color privacy-url terms-url"),
    (WITHOUT_EFFECT, ""),
];

const WITHOUT_EFFECT: &str = "Without effect";

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
        Err(error) => request.ask_again(PATH, Some(format!("No service was created. {error}"))),
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
    let about = |of: &ServiceParameter| {
        of.schema["description"].as_str().unwrap_or_default().replace('`', "").replace('\n', " ")
    };
    let field = |of: &ServiceParameter| {
        let ServiceParameter { name, key, schema, .. } = of;
        let typed = request.form.given(&[name.as_str()]).next().map(|(_, text)| text.to_owned());
        let value = typed.unwrap_or_else(|| text_of(current.get(key).unwrap_or(&Value::Null)));
        let about = format!("{} ({name})", about(of));
        Field { about, ..Field::new(name, &label_of(key), schema, value, None) }
    };
    let place = |keys: &str, of: &ServiceParameter| keys.split(' ').position(|key| key == of.key);
    let groups = GROUPS.map(|(title, keys)| {
        let is_in = |of: &&ServiceParameter| {
            let own = GROUPS.iter().find(|(_, keys)| place(keys, of).is_some()).unwrap_or(&GROUPS[0]);
            let has_effect = !about(of).starts_with("Kept and shown without effect");
            title == if has_effect { own.0 } else { WITHOUT_EFFECT }
        };
        let mut own: Vec<_> = service_parameters().iter().filter(is_in).collect();
        own.sort_by_key(|of| place(keys, of).unwrap_or(usize::MAX));
        (title, own.into_iter().map(field).collect())
    });
    let groups = groups.into();
    let keys = request.running.registry.keys(Some(service.id)).len();
    let title = service.title();
    html(&ServicePage { request, service, title, groups, keys })
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
            Err(error) => return request.ask_again(&path, Some(format!("Nothing was changed. {error}"))),
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
    let asked = SessionRequest::back_to(url.to_owned());
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
