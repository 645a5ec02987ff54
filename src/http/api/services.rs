//! `/v2/Services`, and below them `MessagingConfigurations`: which gateway sends to which country.

use serde_json::{Map, Value, json};

use super::prelude::*;
use crate::config::services::{ServiceParameter, service_parameters};
use crate::registry::MessagingConfiguration;

/// The key of the one setting that a new service needs.
const NAME: &str = "friendly-name";

/// The settings that a request gives, by their keys. Those of a new service have its name.
pub struct Settings<const IS_NEW: bool>(pub Map<String, Value>);

impl<const IS_NEW: bool> Parameters for Settings<IS_NEW> {
    const NAMES: &'static [&'static str] = &[];

    fn read(fields: &Fields) -> Result<Self, Error> {
        let given = given(fields)?;
        if IS_NEW && !given.contains_key(NAME) {
            Err(Error::missing("FriendlyName"))
        } else {
            Ok(Self(given))
        }
    }

    fn describe() -> Vec<Param> {
        let parameters = service_parameters().iter().filter_map(|parameter| describe(parameter, IS_NEW));
        let (name, others): (Vec<_>, Vec<_>) =
            parameters.partition(|parameter| parameter.name == "FriendlyName");
        [name, others].into_iter().flatten().collect()
    }
}

/// Of a new service its name is required.
fn describe(parameter: &ServiceParameter, is_new: bool) -> Option<Param> {
    let mut schema = parameter.schema.clone();
    let example = schema.as_object_mut()?.remove("example").unwrap_or_default();
    let mut in_json = schema.clone();
    if parameter.is_time {
        in_json["type"] = json!(["string", "integer"]);
        in_json["minimum"] = schema.get("minimum").cloned().unwrap_or_else(|| 0.into());
        in_json["pattern"] = schema.get("pattern").cloned().unwrap_or_else(|| "^[0-9]{0,7}$".into());
    }
    let required = is_new && parameter.key == NAME;
    Some(Param::new(&parameter.name, &parameter.description, example, required, schema, in_json))
}

view! {
    /// A service: a namespace with its own rules, of which these are Twilio's.
    ServiceView as "Service"(frame, service: &Service) {
        sid: ServiceSid = Id(service.sid),
        account_sid: AccountSid = Id(frame.account),
        /// The name of the service in its messages.
        friendly_name: String = service.settings.friendly_name.clone(),
        /// The number of digits of a code.
        code_length: u8 = service.settings.code_length.get(),
        /// No effect: nothing is looked up.
        lookup_enabled: bool = service.settings.lookup_enabled,
        /// Transactions are not served.
        psd2_enabled: bool = false,
        /// Whether text messages to numbers known to be landlines are refused.
        skip_sms_to_landlines: bool = service.settings.skip_sms_to_landlines,
        /// No effect: the gateway's setting decides.
        dtmf_input_required: bool = service.settings.dtmf_input_required,
        /// No effect.
        tts_name: Option<String> = service.settings.tts_name.clone(),
        /// Whether text messages warn that the code is not to be shared.
        do_not_share_warning_enabled: bool = service.settings.do_not_share_warning,
        /// Whether a request may bring its own code.
        custom_code_enabled: bool = service.settings.custom_code,
        push: Push = Push::new(frame),
        totp: Totp = Totp::new(frame),
        /// The template where a request names none.
        #[schemars(regex(pattern = "^HJ[0-9a-f]{32}$"))]
        default_template_sid: Option<String> = service.settings.default_template.map(|sid| sid.to_string()),
        whatsapp: Whatsapp = Whatsapp::new(frame),
        passkeys: Passkeys = Passkeys::new(frame),
        /// No effect.
        verify_event_subscription_enabled: bool = service.settings.verify_event_subscription_enabled,
        date_created: Date = service.created.into(),
        date_updated: Date = service.updated.into(),
        url: Url = frame.url(format_args!("/Services/{}", service.sid)),
        links: Links = Links::new(frame, service.sid),
    }
}

view! {
    /// Not served.
    Push as "ServicePush"(_frame) {
        include_date: bool = false,
        apn_credential_sid: Null = Null,
        fcm_credential_sid: Null = Null,
    }
}

nulls! {
    Totp as "ServiceTotp": issuer, time_step, code_length, skew;
    Whatsapp as "ServiceWhatsapp": msg_service_sid, from;
    RelyingParty as "ServiceRelyingParty": id, name, origins;
}

view! {
    /// Not served.
    Passkeys as "ServicePasskeys"(frame) {
        relying_party: RelyingParty = RelyingParty::new(frame),
        authenticator_attachment: Null = Null,
        discoverable_credentials: Null = Null,
        user_verification: Null = Null,
    }
}

view! {
    /// The addresses of what belongs to a service. Entities and access tokens are not served.
    Links as "ServiceLinks"(frame, service: Sid) {
        verification_checks: Url = frame.url(format_args!("/Services/{service}/VerificationCheck")),
        verifications: Url = frame.url(format_args!("/Services/{service}/Verifications")),
        rate_limits: Url = frame.url(format_args!("/Services/{service}/RateLimits")),
        messaging_configurations: Url = frame.url(format_args!("/Services/{service}/MessagingConfigurations")),
        entities: Url = frame.url(format_args!("/Services/{service}/Entities")),
        webhooks: Url = frame.url(format_args!("/Services/{service}/Webhooks")),
        access_tokens: Url = frame.url(format_args!("/Services/{service}/AccessTokens")),
    }
}

/// `GET /v2/Services`: the newest first; for a key of one service, that one.
pub async fn list(request: Request) -> Answer<Listed<ServiceView>> {
    let (page, frame) = (request.page(&[])?, request.frame());
    let registry = &request.running.registry;
    let services = match request.caller.service() {
        Some(own) => registry.service_by_id(own).into_iter().skip(page.skip()).collect(),
        None => registry.services(page.skip(), page.limit()),
    };
    Ok(Json(page.of("services", &services, |service| ServiceView::new(&frame, service))))
}

pub async fn create(Given(request, Settings(settings)): Given<Settings<true>>) -> Made<ServiceView> {
    let service = request.registry().create_service(settings).await?;
    created(ServiceView::new(&request.frame(), &service))
}

pub async fn fetch(request: Request) -> Answer<ServiceView> {
    Ok(Json(ServiceView::new(&request.frame(), &*request.service("Sid")?)))
}

pub async fn update(Given(request, Settings(settings)): Given<Settings<false>>) -> Answer<ServiceView> {
    let service = request.service("Sid")?;
    let changed = request.registry().update_service(service.sid, settings).await?;
    Ok(Json(ServiceView::new(&request.frame(), &changed)))
}

pub async fn delete(request: Request) -> Gone {
    let service = request.service("Sid")?;
    request.registry().delete_service(service.sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A time in a request: a bare number is seconds. It may be minutes in config.json.
fn in_seconds(text: &str) -> Value {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}s").into() } else { text.into() }
}

/// The given parameters as members of the settings.
fn given(fields: &Fields) -> Result<Map<String, Value>, Error> {
    let mut given = Map::new();
    for parameter in service_parameters() {
        let name = &parameter.name;
        let value = match parameter.schema["type"].as_str() {
            _ if parameter.is_time => fields.scalar(name)?.map(|text| in_seconds(&text)),
            Some("boolean") => bool::find(fields, name)?.map(Value::from),
            Some("integer") => {
                let number = |text: &str| text.parse::<u32>().ok().filter(|_| is_digits(text));
                fields.parsed_scalar(name, &parameter.accepted, number)?.map(Value::from)
            }
            _ => match fields.only(name)?.and_then(Value::as_str) {
                Some("") => parameter.is_removable.then_some(Value::Null),
                _ => fields.text(name)?.map(Value::from),
            },
        };
        given.extend(value.map(|value| (parameter.key.clone(), value)));
    }
    Ok(given)
}

parameters! {
    pub struct NewMessaging {
        /// Two letters of ISO 3166-1.
        "Country" = "DE" => country: Country,
        /// The gateway. The error for an unknown one lists all gateways.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

parameters! {
    pub struct ChangedMessaging {
        /// The gateway. The error for an unknown one lists all gateways.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

view! {
    /// The gateway that sends to a country.
    MessagingConfigurationView as "MessagingConfiguration"(frame, service: Sid, configuration: &MessagingConfiguration
    ) {
        account_sid: AccountSid = Id(frame.account),
        service_sid: ServiceSid = Id(service),
        /// Two letters of ISO 3166-1.
        country: String = configuration.country.clone(),
        messaging_service_sid: MessagingServiceSid = Id(configuration.messaging_service),
        date_created: Date = configuration.created.into(),
        date_updated: Date = configuration.updated.into(),
        url: Url =
            frame.url(format_args!("/Services/{service}/MessagingConfigurations/{}", configuration.country)),
    }
}

pub async fn list_messaging(
    InService(request, service, ()): InService,
) -> Answer<Listed<MessagingConfigurationView>> {
    request.list("messaging_configurations", service.messaging.iter(), |frame, configuration| {
        MessagingConfigurationView::new(frame, service.sid, configuration)
    })
}

pub async fn create_messaging(
    InService(request, service, new): InService<NewMessaging>,
) -> Made<MessagingConfigurationView> {
    let configuration = request.registry().create_messaging(service.sid, new.country, new.gateway).await?;
    created(MessagingConfigurationView::new(&request.frame(), service.sid, &configuration))
}

pub async fn fetch_messaging(
    InService(request, service, ()): InService,
) -> Answer<MessagingConfigurationView> {
    let found = service.messaging(&country(&request)?)?;
    Ok(Json(MessagingConfigurationView::new(&request.frame(), service.sid, found)))
}

pub async fn update_messaging(
    InService(request, service, params): InService<ChangedMessaging>,
) -> Answer<MessagingConfigurationView> {
    let changed =
        request.registry().update_messaging(service.sid, country(&request)?, params.gateway).await?;
    Ok(Json(MessagingConfigurationView::new(&request.frame(), service.sid, &changed)))
}

pub async fn delete_messaging(InService(request, service, ()): InService) -> Gone {
    request.registry().delete_messaging(service.sid, country(&request)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn country(request: &Request) -> Result<String, Error> {
    request.param("Country").map(str::to_owned)
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Services",
            "Namespaces with their own rules. API keys need the scope admin; to create or delete a service, the \
            key must be for all services.",
            Access::Scope(Scope::Admin)))
        .post("/v2/Services", create,
            operation(create, "CreateService", "Create a service").access(Access::Account("creating services")))
        .get("/v2/Services", list,
            listing(list, "services", "ListService", "List services").about("Newest first. A key for one service sees that service."))
        .get("/v2/Services/{Sid}", fetch, operation(fetch, "FetchService", "Fetch a service"))
        .post("/v2/Services/{Sid}", update,
            operation(update, "UpdateService", "Update a service")
                .about("Parameters that are absent keep their values. A service of the configuration \
                        cannot be updated here: 409."))
        .delete("/v2/Services/{Sid}", delete,
            operation(delete, "DeleteService", "Delete a service")
                .about("Deletes everything that belongs to the service, including keys for it alone.")
                .access(Access::Account("deleting services")))
        .merge(ApiRouter::of(ApiGroup::twilio("Messaging configurations",
            "The gateway for each country.", Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/MessagingConfigurations", create_messaging,
            operation(create_messaging, "CreateMessagingConfiguration", "Create a messaging configuration")
                .about("One for each country."))
        .get("/v2/Services/{ServiceSid}/MessagingConfigurations", list_messaging,
            listing(list_messaging, "messaging_configurations", "ListMessagingConfiguration", "List messaging configurations"))
        .get("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", fetch_messaging,
            operation(fetch_messaging, "FetchMessagingConfiguration", "Fetch a messaging configuration"))
        .post("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", update_messaging,
            operation(update_messaging, "UpdateMessagingConfiguration", "Update a messaging configuration"))
        .delete("/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", delete_messaging,
            operation(delete_messaging, "DeleteMessagingConfiguration", "Delete a messaging configuration")))
}
