//! A service.

use serde::Serialize;
use utoipa::ToSchema;

use super::Frame;
use crate::domain::DateTime;
use crate::registry::Service;

/// A service: a namespace with its own rules.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "Twilio's fields")]
#[schema(as = Service)]
pub struct ServiceView {
    /// Its id.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// What its messages call it.
    friendly_name: String,
    /// Digits of a code.
    #[schema(minimum = 4, maximum = 10)]
    code_length: u8,
    /// Kept as it was set; nothing is looked up.
    lookup_enabled: bool,
    /// Kept as it was set; transactions are not served.
    psd2_enabled: bool,
    /// Whether numbers known to be landlines are refused for text messages.
    skip_sms_to_landlines: bool,
    /// Kept as it was set; whether a key must be pressed in calls is the gateway's setting.
    dtmf_input_required: bool,
    /// Kept as it was set.
    #[schema(required)]
    tts_name: Option<String>,
    /// Whether text messages warn that the code is not to be shared.
    do_not_share_warning_enabled: bool,
    /// Whether a request may bring its own code.
    custom_code_enabled: bool,
    /// Not served.
    push: Push,
    /// Not served.
    totp: Totp,
    /// The template where a request names none.
    #[schema(required, pattern = "^HJ[0-9a-f]{32}$")]
    default_template_sid: Option<String>,
    /// Set by the gateway, not by the service.
    whatsapp: Whatsapp,
    /// Not served.
    passkeys: Passkeys,
    /// Kept as it was set.
    verify_event_subscription_enabled: bool,
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
    /// A service.
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
        Self {
            sid: sid.to_string(),
            account_sid: frame.account.to_string(),
            friendly_name: service.friendly_name.clone(),
            code_length: service.rules.code_length.get(),
            lookup_enabled: service.lookup_enabled,
            psd2_enabled: service.psd2_enabled,
            skip_sms_to_landlines: service.skip_sms_to_landlines,
            dtmf_input_required: service.dtmf_input_required,
            tts_name: service.tts_name.clone(),
            do_not_share_warning_enabled: service.do_not_share_warning_enabled,
            custom_code_enabled: service.custom_code_enabled,
            push: Push::default(),
            totp: Totp::default(),
            default_template_sid: service.default_template.map(|sid| sid.to_string()),
            whatsapp: Whatsapp::default(),
            passkeys: Passkeys::default(),
            verify_event_subscription_enabled: service.verify_event_subscription_enabled,
            date_created: service.created.into(),
            date_updated: service.updated.into(),
            url,
            links,
        }
    }
}
