//! Services: the list, and the settings of one.

use askama::Template;
use serde_json::{Map, Value};

use super::list::{self, Field, List, Pager, ROWS};
use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, moment, words_of};
use crate::config::services::{ServiceParameter, service_parameters};
use crate::domain::{Sid, SidKind};
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::http::v2::params::Parameters as _;
use crate::http::v2::services::{Changed, New, ServiceFields};
use crate::registry::{Origin, Service};

use std::sync::Arc;

const PATH: &str = "/admin/services";

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage<'a> {
    frame: Frame,
    header: PageHeader,
    list: List,
    rows: Vec<(Arc<Service>, String)>,
    pager: Pager,
    form: &'a Form,
}

#[derive(Template)]
#[template(path = "service.html")]
struct ServicePage {
    frame: Frame,
    header: PageHeader,
    service: Arc<Service>,
    title: String,
    fields: Vec<Field>,
    /// The keys that are for it alone and not revoked.
    keys: usize,
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
pub fn page(request: &AdminRequest<'_>) -> Response {
    shown(request, &Form::default())
}

fn shown(request: &AdminRequest<'_>, form: &Form) -> Response {
    let (list, _) = List::read::<()>(request, PATH.to_owned());
    let mut services = request.v2.registry.services(list.skip(), ROWS + 1);
    let has_more = services.len() > ROWS;
    services.truncate(ROWS);
    let titles = request.v2.registry.titles(&services);
    let rows = services.into_iter().zip(titles).collect();
    let (is_wrong, pager) = (list.problem.is_some(), list.pager(has_more, None).without_csv());
    let page = |frame, header| ServicesPage { frame, header, list, rows, pager, form };
    list::with_status(is_wrong, request.render(PATH, page))
}

/// `POST /admin/services`: makes a service, and leads to its page.
pub async fn create(request: &AdminRequest<'_>, form: &Form) -> Response {
    let made = match New::read(&form.fields()) {
        Ok(ServiceFields(settings)) => {
            request.registry().create_service(settings).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(words_of(request, error)),
    };
    match made {
        Ok(service) => {
            let text = format!("The service {} is made.", service.settings.friendly_name);
            request.redirect_with_notice(&format!("{PATH}/{}", service.sid), Notice::success(text))
        }
        Err(why) => {
            request.notify(Notice::failure(format!("No service was made. {why}")));
            list::with_status(true, shown(request, form))
        }
    }
}

/// The service that the path names.
fn named(request: &AdminRequest<'_>) -> Option<Arc<Service>> {
    let sid = Sid::parse(SidKind::Service, request.head.uri.path().rsplit('/').next()?)?;
    request.v2.registry.service(&sid).ok()
}

/// The settings as members, by their keys in config.json.
fn settings_of(service: &Service) -> Map<String, Value> {
    match serde_json::to_value(&service.settings) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// `GET /admin/services/{Sid}`.
pub fn one(request: &AdminRequest<'_>) -> Response {
    named(request).map_or_else(|| unknown(request), |service| settings(request, service, None))
}

/// The page of a service, with what a person typed.
fn settings(request: &AdminRequest<'_>, service: Arc<Service>, typed: Option<&Form>) -> Response {
    let current = settings_of(&service);
    let fields = service_parameters().iter().map(|parameter| {
        let typed = typed.and_then(|form| form.field(&parameter.name)).map(|text| text.to_string());
        field(parameter, typed.unwrap_or_else(|| text_of(current.get(&parameter.key))))
    });
    let fields = fields.collect();
    let keys = request.v2.registry.keys(Some(service.id));
    let keys = keys.iter().filter(|key| key.revoked.is_none()).count();
    let title = request.title(&service);
    request.render(PATH, |frame, header| ServicePage { frame, header, service, title, fields, keys })
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn field(parameter: &ServiceParameter, value: String) -> Field {
    let words = parameter.schema["enum"].as_array().cloned().unwrap_or_default();
    let mut options: Vec<String> = words.iter().map(|word| text_of(Some(word))).collect();
    if parameter.schema["type"] == "boolean" {
        options = ["true", "false"].map(str::to_owned).to_vec();
    }
    if !options.is_empty() && !options.contains(&value) {
        options.push(value.clone());
    }
    let (name, about) = (parameter.name.clone(), parameter.description.replace('`', ""));
    let options = options.into_iter().map(|option| (option.clone(), option)).collect();
    Field { label: name.clone(), name, about, value, placeholder: "", options }
}

/// `POST /admin/services/{Sid}`: changes what differs, or deletes the service.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Response {
    let Some(service) = named(request) else { return unknown(request) };
    let path = format!("{PATH}/{}", service.sid);
    let to = |notice| request.redirect_with_notice(&path, notice);
    match form.field("action").unwrap_or_default().as_str() {
        "delete" if form.text("confirmed") != service.settings.friendly_name => {
            to(Notice::failure("Nothing was deleted: type the name of the service.".to_owned()))
        }
        "delete" => match request.registry().delete_service(service.sid).await {
            Ok(()) => {
                let text = format!("The service {} is deleted.", service.settings.friendly_name);
                request.redirect_with_notice(PATH, Notice::success(text))
            }
            Err(error) => to(Notice::failure(format!("Nothing was deleted: {error}."))),
        },
        "update" => {
            let current = settings_of(&service);
            let changed = match Changed::read(&form.fields()) {
                Ok(ServiceFields(mut given)) => {
                    given.retain(|key, value| current.get(key).unwrap_or(&Value::Null) != value);
                    if given.is_empty() {
                        return to(Notice::failure(
                            "Nothing was changed: every value is as before.".to_owned(),
                        ));
                    }
                    let changed = request.registry().update_service(service.sid, given).await;
                    changed.map_err(|error| error.to_string())
                }
                Err(error) => Err(words_of(request, error)),
            };
            match changed {
                Ok(_) => to(Notice::success("The service is changed.".to_owned())),
                Err(why) => {
                    request.notify(Notice::failure(format!("Nothing was changed. {why}")));
                    list::with_status(true, settings(request, service, Some(form)))
                }
            }
        }
        _ => to(Notice::failure("Nothing was changed: the form names no action.".to_owned())),
    }
}

fn unknown(request: &AdminRequest<'_>) -> Response {
    request.redirect_with_notice(PATH, Notice::failure("There is no such service.".to_owned()))
}
