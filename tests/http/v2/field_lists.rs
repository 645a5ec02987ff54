//! Every resource has exactly the fields of Twilio's description, in its order. The lists are copied from there.

use onceward_testkit::{Reply, V2World, gateway, json, vl};
use serde_json::Value;

use super::attempts::attempt;

const SERVICE: &str = "sid account_sid friendly_name code_length lookup_enabled psd2_enabled skip_sms_to_landlines \
    dtmf_input_required tts_name do_not_share_warning_enabled custom_code_enabled push totp default_template_sid \
    whatsapp passkeys verify_event_subscription_enabled date_created date_updated url links";
const VERIFICATION: &str = "sid service_sid account_sid to channel status valid lookup amount payee send_code_attempts \
    date_created date_updated sna url";
const CHECK: &str = "sid service_sid account_sid to channel status valid amount payee date_created date_updated \
    sna_attempts_error_codes";
const RATE_LIMIT: &str =
    "sid service_sid account_sid unique_name description date_created date_updated url links";
const BUCKET: &str = "sid rate_limit_sid service_sid account_sid max interval date_created date_updated url";
const MESSAGING: &str = "account_sid service_sid country messaging_service_sid date_created date_updated url";
const WEBHOOK: &str = "sid service_sid account_sid friendly_name event_types status version webhook_url webhook_method \
    date_created date_updated url";
const ATTEMPT: &str = "sid account_sid service_sid verification_sid date_created date_updated conversion_status channel \
    price channel_data url";
/// Twilio's have no `parts`; its libraries take this object as it is.
const CHANNEL_DATA: &str =
    "verification_sid to status message_status error_code country code_length locale mcc mnc carrier parts";
const SUMMARY: &str = "total_attempts total_converted total_unconverted conversion_rate_percentage url";
const SAFE_NUMBER: &str = "sid phone_number url";
const META: &str = "page page_size first_page_url previous_page_url url next_page_url key";

#[tokio::test]
async fn every_resource_has_exactly_twilios_fields() {
    let world = V2World::new().await;
    world.fake.with_attempts(vec![attempt(1, world.service.id)]);
    let below = |path: &str| world.below(path);

    let service = world.get(&below("")).await;
    has(&service, SERVICE);
    let shown = json(&service);
    assert_eq!(names(&shown["push"]), ["apn_credential_sid", "fcm_credential_sid", "include_date"]);
    assert_eq!(names(&shown["totp"]), ["code_length", "issuer", "skew", "time_step"]);
    assert_eq!(names(&shown["whatsapp"]), ["from", "msg_service_sid"]);
    assert_eq!(
        names(&shown["passkeys"]),
        ["authenticator_attachment", "discoverable_credentials", "relying_party", "user_verification"]
    );
    assert_eq!(
        names(&shown["links"]),
        [
            "access_tokens",
            "entities",
            "messaging_configurations",
            "rate_limits",
            "verification_checks",
            "verifications",
            "webhooks",
        ]
    );

    has(&world.get(&below("/Verifications/+14155552671")).await, VERIFICATION);
    let form = [("To", "+14155552671"), ("Code", "123456")];
    has(&world.post(&below("/VerificationCheck"), &form).await, CHECK);

    let limit = world.post(&below("/RateLimits"), &[("UniqueName", "session")]).await;
    has(&limit, RATE_LIMIT);
    let buckets = below(&format!("/RateLimits/{}/Buckets", json(&limit)["sid"].as_str().expect("a sid")));
    has(&world.post(&buckets, &[("Max", "5"), ("Interval", "60")]).await, BUCKET);

    let gateway = gateway().to_string();
    let form = [("Country", "DE"), ("MessagingServiceSid", gateway.as_str())];
    has(&world.post(&below("/MessagingConfigurations"), &form).await, MESSAGING);

    let form = [("FriendlyName", "billing"), ("EventTypes", "*"), ("WebhookUrl", "https://shop.example/")];
    let hook = world.post(&below("/Webhooks"), &form).await;
    has(&hook, &format!("{WEBHOOK} secret"));
    let path = below(&format!("/Webhooks/{}", json(&hook)["sid"].as_str().expect("a sid")));
    has(&world.get(&path).await, WEBHOOK);

    let one = world.get(&format!("/v2/Attempts/{}", vl(1))).await;
    has(&one, ATTEMPT);
    let mut wanted: Vec<&str> = CHANNEL_DATA.split_whitespace().collect();
    wanted.sort_unstable();
    assert_eq!(names(&json(&one)["channel_data"]), wanted);
    assert_eq!(names(&json(&one)["price"]), ["currency", "value"]);
    has(&world.get("/v2/Attempts/Summary").await, SUMMARY);
    has(&world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+14155552671")]).await, SAFE_NUMBER);
}

#[tokio::test]
async fn every_list_has_its_key_and_twilios_meta() {
    let world = V2World::new().await;
    for (path, key) in [
        ("/v2/Services".to_owned(), "services"),
        ("/v2/Attempts".to_owned(), "attempts"),
        ("/v2/Templates".to_owned(), "templates"),
        (world.below("/RateLimits"), "rate_limits"),
        (world.below("/MessagingConfigurations"), "messaging_configurations"),
        (world.below("/Webhooks"), "webhooks"),
    ] {
        let reply = world.get(&path).await;
        has(&reply, &format!("{key} meta"));
        let mut wanted: Vec<&str> = META.split_whitespace().collect();
        wanted.sort_unstable();
        assert_eq!(names(&json(&reply)["meta"]), wanted, "{path}");
        assert_eq!(json(&reply)["meta"]["key"], key);
    }
}

#[tokio::test]
async fn a_template_has_twilios_fields_for_each_language() {
    let world = V2World::new().await;
    let list = json(&world.get("/v2/Templates").await);
    let template = &list["templates"][0];
    assert_eq!(names(template), ["account_sid", "channels", "friendly_name", "sid", "translations"]);
    let translations = template["translations"].as_object().expect("translations");
    for (locale, translation) in translations {
        assert_eq!(
            names(translation),
            ["date_created", "date_updated", "is_default_translation", "locale", "status", "text"]
        );
        assert_eq!(translation["locale"], locale.as_str());
    }
    let name = template["friendly_name"].as_str().expect("a name");
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("FriendlyName", name).finish();
    let found = json(&world.get(&format!("/v2/Templates?{query}")).await);
    assert!(
        found["templates"].as_array().is_some_and(|found| found.iter().all(|t| t["friendly_name"] == name))
    );
    let none = json(&world.get("/v2/Templates?FriendlyName=unknown").await);
    assert_eq!(none["templates"], serde_json::json!([]));
}

/// The names of an object, sorted.
fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Asserts that a body has these fields in this order.
#[track_caller]
fn has(reply: &Reply, fields: &str) {
    assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.body);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(names(&json(reply)), sorted);
    // Nested objects come before the field that follows them.
    let mut rest = reply.body.as_str();
    for field in fields {
        let name = format!("\"{field}\":");
        rest = rest.split_once(&name).unwrap_or_else(|| panic!("{field} is not in its place")).1;
    }
}
