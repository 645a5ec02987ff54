//! `/v2/Services`, and below them `MessagingConfigurations`: which gateway sends to which country.

use serde_json::{Map, Value, json};

use super::prelude::*;
use crate::config::services::{ServiceParameter, service_parameters};
use crate::domain::{Timestamp, text_of};
use crate::http::openapi::{Doc, Property};

/// The settings that a request gives, the name first.
fn described(requires: &[&str]) -> Vec<Property> {
    let property = |ServiceParameter { name, schema, .. }: &ServiceParameter| {
        Property::new(name, schema.clone(), requires.contains(&name.as_str()))
    };
    let mut described: Vec<_> = service_parameters().iter().map(property).collect();
    described.sort_by_key(|param| param.name != "FriendlyName");
    described
}

/// Whether a bare number is seconds in a request.
fn is_time(key: &str) -> bool {
    matches!(key, "code-life" | "send-budget" | "lockout")
}

/// A service: a namespace with its own rules, of which these are Twilio's.
#[derive(Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of Twilio's")]
pub struct Service {
    pub sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The name of the service in its messages.
    pub friendly_name: String,
    /// The number of digits of a code.
    pub code_length: u8,
    /// No effect: nothing is looked up.
    pub lookup_enabled: bool,
    /// Transactions are not served.
    pub psd2_enabled: bool,
    /// Whether text messages to numbers known to be landlines are refused.
    pub skip_sms_to_landlines: bool,
    /// No effect: the gateway's setting decides.
    pub dtmf_input_required: bool,
    /// No effect.
    pub tts_name: Option<String>,
    /// Whether text messages warn that the code is not to be shared.
    pub do_not_share_warning_enabled: bool,
    /// Whether a request may bring its own code.
    pub custom_code_enabled: bool,
    /// Not served.
    #[schemars(with = "Map<String, Value>")]
    pub push: Value,
    /// Not served.
    #[schemars(with = "Map<String, Value>")]
    pub totp: Value,
    /// The template where a request names none.
    pub default_template_sid: Option<String>,
    /// Not served.
    #[schemars(with = "Map<String, Value>")]
    pub whatsapp: Value,
    /// Not served.
    #[schemars(with = "Map<String, Value>")]
    pub passkeys: Value,
    /// No effect.
    pub verify_event_subscription_enabled: bool,
    pub date_created: Date,
    pub date_updated: Date,
    pub url: Url,
    pub links: ServiceLinks,
}

impl Service {
    fn new(caller: &Caller, service: &registry::Service) -> Self {
        let below = |path| caller.url(format_args!("/v2/Services/{}{path}", service.sid));
        let settings = &service.settings;
        Self {
            sid: Id(service.sid),
            account_sid: caller.account(),
            friendly_name: settings.friendly_name.clone(),
            code_length: settings.code_length.get(),
            lookup_enabled: settings.lookup_enabled,
            psd2_enabled: false,
            skip_sms_to_landlines: settings.skip_sms_to_landlines,
            dtmf_input_required: settings.dtmf_input_required,
            tts_name: settings.tts_name.clone(),
            do_not_share_warning_enabled: settings.do_not_share_warning,
            custom_code_enabled: settings.custom_code,
            push: json!({ "include_date": false, "apn_credential_sid": null, "fcm_credential_sid": null }),
            totp: json!({ "issuer": null, "time_step": null, "code_length": null, "skew": null }),
            default_template_sid: settings.default_template.map(|sid| sid.to_string()),
            whatsapp: json!({ "msg_service_sid": null, "from": null }),
            passkeys: json!({
                "relying_party": { "id": null, "name": null, "origins": null },
                "authenticator_attachment": null, "discoverable_credentials": null, "user_verification": null,
            }),
            verify_event_subscription_enabled: settings.verify_event_subscription_enabled,
            date_created: service.created.into(),
            date_updated: service.updated.into(),
            url: below(""),
            links: ServiceLinks {
                verification_checks: below("/VerificationCheck"),
                verifications: below("/Verifications"),
                rate_limits: below("/RateLimits"),
                messaging_configurations: below("/MessagingConfigurations"),
                entities: below("/Entities"),
                webhooks: below("/Webhooks"),
                access_tokens: below("/AccessTokens"),
            },
        }
    }
}

/// The addresses of what belongs to a service. Entities and access tokens are not served.
#[derive(Serialize, JsonSchema)]
pub struct ServiceLinks {
    pub verification_checks: Url,
    pub verifications: Url,
    pub rate_limits: Url,
    pub messaging_configurations: Url,
    pub entities: Url,
    pub webhooks: Url,
    pub access_tokens: Url,
}

/// `GET /v2/Services`: the newest first; for a key of one service, that one.
async fn list(caller: Caller, Listing((), page): Listing) -> Result<Listed<Service>, Error> {
    let (registry, (before, skip)) = (&caller.running.registry, page.place(None));
    let mut services = match caller.who.service() {
        Some(own) => registry.service_by_id(own).into_iter().collect(),
        None => registry.services(0, usize::MAX),
    };
    // Ids grow, and stand for times here.
    let order = |id: ServiceId| Timestamp::from_millis(id.get().into());
    services.retain(|service| before.is_none_or(|before| order(service.id) < before));
    let services = services.iter().skip(skip);
    Ok(page.of_newest(
        "services",
        services,
        |service| order(service.id),
        |service| Service::new(&caller, service),
    ))
}

async fn create(caller: Caller, form: Form) -> Made<Service> {
    caller.needs_account("creating services")?;
    let service = caller.registry().create_service(settings(&form)?).await?;
    created(Service::new(&caller, &service))
}

async fn fetch(caller: Caller, Segments(Id(sid)): Segments<ServiceSid>) -> Answer<Service> {
    Ok(Json(Service::new(&caller, &*caller.service(sid)?)))
}

async fn update(caller: Caller, Segments(Id(sid)): Segments<ServiceSid>, form: Form) -> Answer<Service> {
    let service = caller.service(sid)?;
    let changed = caller.registry().update_service(service.sid, settings(&form)?).await?;
    Ok(Json(Service::new(&caller, &changed)))
}

async fn delete_service(caller: Caller, Segments(Id(sid)): Segments<ServiceSid>) -> Gone {
    caller.needs_account("deleting services")?;
    let service = caller.service(sid)?;
    caller.registry().delete_service(service.sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A time in a request: a bare number is seconds. It may be minutes in config.json.
fn in_seconds(time: Value) -> Value {
    match text_of(&time) {
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("{text}s").into(),
        _ => time,
    }
}

/// The settings that a request gives, by their keys.
pub fn settings(form: &Form) -> Result<Map<String, Value>, Error> {
    let mut given = Map::new();
    for ServiceParameter { name, key, schema, .. } in service_parameters() {
        let value = match schema["type"].as_str() {
            _ if is_time(key) => form.field::<Option<Value>>(name)?.map(in_seconds),
            Some("boolean") => form.field::<Option<bool>>(name)?.map(Value::from),
            Some("integer") => {
                let accepted = format!("a whole number from {} to {}", schema["minimum"], schema["maximum"]);
                form.whole(name, &accepted)?.map(Value::from)
            }
            _ if form.has(name, "") => schema["default"].is_null().then_some(Value::Null),
            _ => form.field::<Option<String>>(name)?.map(Value::from),
        };
        given.extend(value.map(|value| (key.clone(), value)));
    }
    Ok(given)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewMessaging {
    /// Two letters of ISO 3166-1.
    pub country: values::Region,
    /// The gateway. The error for an unknown one lists all gateways.
    pub messaging_service_sid: values::MessagingServiceSid,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ChangedMessaging {
    /// The gateway. The error for an unknown one lists all gateways.
    pub messaging_service_sid: values::MessagingServiceSid,
}

/// The gateway that sends to a country.
#[derive(Serialize, JsonSchema)]
pub struct MessagingConfiguration {
    pub account_sid: AccountSid,
    pub service_sid: ServiceSid,
    /// Two letters of ISO 3166-1.
    pub country: String,
    pub messaging_service_sid: MessagingServiceSid,
    pub date_created: Date,
    pub date_updated: Date,
    pub url: Url,
}

impl MessagingConfiguration {
    fn new(of: &InService<impl Sized>, found: &registry::MessagingConfiguration) -> Self {
        let service = of.service.sid;
        Self {
            account_sid: of.account(),
            service_sid: Id(service),
            country: found.country.to_string(),
            messaging_service_sid: Id(found.messaging_service),
            date_created: found.created.into(),
            date_updated: found.updated.into(),
            url: of.url(format_args!("/v2/Services/{service}/MessagingConfigurations/{}", found.country)),
        }
    }
}

async fn list_messaging(
    of: InService,
    Listing((), page): Listing,
) -> Result<Listed<MessagingConfiguration>, Error> {
    let view = |found| MessagingConfiguration::new(&of, found);
    page.of_all("messaging_configurations", &of.service.messaging, view)
}

async fn create_messaging(of: InService, Params(new): Params<NewMessaging>) -> Made<MessagingConfiguration> {
    let (country, gateway) = (new.country.0, new.messaging_service_sid.0);
    let made = of.registry().create_messaging(of.service.sid, country, gateway).await?;
    created(MessagingConfiguration::new(&of, &made))
}

async fn fetch_messaging(of: InService<values::Region>) -> Answer<MessagingConfiguration> {
    Ok(Json(MessagingConfiguration::new(&of, of.service.messaging(of.path.0)?)))
}

async fn update_messaging(
    of: InService<values::Region>,
    Params(changed): Params<ChangedMessaging>,
) -> Answer<MessagingConfiguration> {
    let gateway = changed.messaging_service_sid.0;
    let changed = of.registry().update_messaging(of.service.sid, of.path.0, gateway).await?;
    Ok(Json(MessagingConfiguration::new(&of, &changed)))
}

async fn delete_messaging(of: InService<values::Region>) -> Gone {
    of.registry().delete_messaging(of.service.sid, of.path.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Services", "Namespaces with their own rules. API keys need the scope admin; to create or delete a service, the \
            key must be for all services.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services", create, Doc { reads: described, requires: &["FriendlyName"],
                ..made::<(), Service>("CreateService", "Create a service") })
        .get("/v2/Services", list, list_of::<(), Service>("services", "ListService", "List services")
                .about("Newest first. A key for one service sees that service."))
        .get("/v2/Services/{Sid}", fetch, ok::<(), Service>("FetchService", "Fetch a service"))
        .post("/v2/Services/{Sid}", update, Doc { reads: described, ..ok::<(), Service>("UpdateService", "Update a service") }
                .about("Parameters that are absent keep their values. A service of the configuration cannot be updated here: 409."))
        .delete("/v2/Services/{Sid}", delete_service, gone::<()>("DeleteService", "Delete a service")
                .about("Deletes everything that belongs to the service, including keys for it alone."))
}

#[rustfmt::skip] // A table.
pub fn messaging_routes() -> Routes {
    Routes::new("Messaging configurations", "The gateway for each country.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/MessagingConfigurations", create_messaging, made::<NewMessaging, MessagingConfiguration>("CreateMessagingConfiguration", "Create a messaging configuration")
                .about("One for each country."))
        .get("/v2/Services/{ServiceSid}/MessagingConfigurations", list_messaging, list_of::<(), MessagingConfiguration>("messaging_configurations", "ListMessagingConfiguration", "List messaging configurations"))
        .get("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", fetch_messaging, ok::<(), MessagingConfiguration>("FetchMessagingConfiguration", "Fetch a messaging configuration"))
        .post("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", update_messaging, ok::<ChangedMessaging, MessagingConfiguration>("UpdateMessagingConfiguration", "Update a messaging configuration"))
        .delete("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", delete_messaging, gone::<()>("DeleteMessagingConfiguration", "Delete a messaging configuration"))
}
