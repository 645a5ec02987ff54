//! A service.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::Frame;
use crate::config::services::service_parameters;
use crate::domain::DateTime;
use crate::registry::Service;

/// Twilio's fields, in its order. Those that are not in [`Resource`] are the service's settings.
const FIELDS: [&str; 21] = [
    "sid",
    "account_sid",
    "friendly_name",
    "code_length",
    "lookup_enabled",
    "psd2_enabled",
    "skip_sms_to_landlines",
    "dtmf_input_required",
    "tts_name",
    "do_not_share_warning_enabled",
    "custom_code_enabled",
    "push",
    "totp",
    "default_template_sid",
    "whatsapp",
    "passkeys",
    "verify_event_subscription_enabled",
    "date_created",
    "date_updated",
    "url",
    "links",
];

/// A service: a namespace with its own rules. Has no field for the rules that are not Twilio's.
pub struct ServiceView {
    resource: Resource,
    /// By their names in answers.
    settings: Map<String, Value>,
}

/// The fields that are no settings.
#[derive(ToSchema)]
struct Resource {
    /// Its id.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// Not served.
    push: Push,
    /// Not served.
    totp: Totp,
    /// Set by the gateway, not by the service.
    whatsapp: Whatsapp,
    /// Not served.
    passkeys: Passkeys,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
    /// The addresses of what belongs to it.
    links: Links,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ServicePush)]
struct Push {
    include_date: bool,
    #[schema(required)]
    apn_credential_sid: Option<String>,
    #[schema(required)]
    fcm_credential_sid: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ServiceTotp)]
struct Totp {
    #[schema(required)]
    issuer: Option<String>,
    #[schema(required)]
    time_step: Option<u32>,
    #[schema(required)]
    code_length: Option<u32>,
    #[schema(required)]
    skew: Option<u32>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ServiceWhatsapp)]
struct Whatsapp {
    #[schema(required)]
    msg_service_sid: Option<String>,
    #[schema(required)]
    from: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ServicePasskeys)]
struct Passkeys {
    relying_party: RelyingParty,
    #[schema(required)]
    authenticator_attachment: Option<String>,
    #[schema(required)]
    discoverable_credentials: Option<String>,
    #[schema(required)]
    user_verification: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ServiceRelyingParty)]
struct RelyingParty {
    #[schema(required)]
    id: Option<String>,
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    origins: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceLinks)]
struct Links {
    #[schema(format = "uri")]
    verification_checks: String,
    #[schema(format = "uri")]
    verifications: String,
    #[schema(format = "uri")]
    rate_limits: String,
    #[schema(format = "uri")]
    messaging_configurations: String,
    /// Not served.
    #[schema(format = "uri")]
    entities: String,
    #[schema(format = "uri")]
    webhooks: String,
    /// Not served.
    #[schema(format = "uri")]
    access_tokens: String,
}

impl ServiceView {
    pub fn new(frame: &Frame<'_>, service: &Service) -> Self {
        let sid = service.sid;
        let url = frame.url(&format!("/Services/{sid}"));
        let below = |name: &str| format!("{url}/{name}");
        let links = Links {
            verification_checks: below("VerificationCheck"),
            verifications: below("Verifications"),
            rate_limits: below("RateLimits"),
            messaging_configurations: below("MessagingConfigurations"),
            entities: below("Entities"),
            webhooks: below("Webhooks"),
            access_tokens: below("AccessTokens"),
        };
        let resource = Resource {
            sid: sid.to_string(),
            account_sid: frame.account.to_string(),
            push: Push::default(),
            totp: Totp::default(),
            whatsapp: Whatsapp::default(),
            passkeys: Passkeys::default(),
            date_created: service.created.into(),
            date_updated: service.updated.into(),
            url,
            links,
        };
        let mut members = match serde_json::to_value(&service.settings) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let settings = service_parameters().iter().map(|parameter| {
            let value = members.remove(&parameter.key).unwrap_or_default();
            (parameter.field.clone(), value)
        });
        Self { resource, settings: settings.collect() }
    }
}

impl Serialize for ServiceView {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let resource = &self.resource;
        let mut map = to.serialize_map(Some(FIELDS.len()))?;
        for name in FIELDS {
            match name {
                "sid" => map.serialize_entry(name, &resource.sid)?,
                "account_sid" => map.serialize_entry(name, &resource.account_sid)?,
                "push" => map.serialize_entry(name, &resource.push)?,
                "totp" => map.serialize_entry(name, &resource.totp)?,
                "whatsapp" => map.serialize_entry(name, &resource.whatsapp)?,
                "passkeys" => map.serialize_entry(name, &resource.passkeys)?,
                "date_created" => map.serialize_entry(name, &resource.date_created)?,
                "date_updated" => map.serialize_entry(name, &resource.date_updated)?,
                "url" => map.serialize_entry(name, &resource.url)?,
                "links" => map.serialize_entry(name, &resource.links)?,
                setting => map.serialize_entry(name, &self.settings.get(setting))?,
            }
        }
        map.end()
    }
}

impl ToSchema for ServiceView {
    fn name() -> std::borrow::Cow<'static, str> {
        "Service".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Resource::schemas(schemas);
    }
}

impl PartialSchema for ServiceView {
    fn schema() -> RefOr<Schema> {
        let resource = match Resource::schema() {
            RefOr::T(Schema::Object(object)) => object,
            _ => Object::new(),
        };
        let mut service =
            ObjectBuilder::new().description(Some("A service: a namespace with its own rules."));
        for name in FIELDS {
            let property = resource.properties.get(name).cloned().unwrap_or_else(|| setting_schema(name));
            service = service.property(name, property).required(name);
        }
        Schema::from(service.build()).into()
    }
}

/// The schema of a setting in answers. The default service may have a name that no request can set.
fn setting_schema(field: &str) -> RefOr<Schema> {
    let parameter = service_parameters().iter().find(|parameter| parameter.field == field);
    let schema = parameter.map(|parameter| {
        let name = &parameter.schema["type"];
        let types = if parameter.is_removable { json!([name, "null"]) } else { name.clone() };
        let mut schema = json!({ "type": types, "description": parameter.description });
        for bound in ["minimum", "maximum"] {
            if let Some(value) = parameter.schema.get(bound) {
                schema[bound] = value.clone();
            }
        }
        schema
    });
    let schema = schema.and_then(|schema| serde_json::from_value(schema).ok());
    schema.unwrap_or_else(|| Schema::from(Object::new()).into())
}
