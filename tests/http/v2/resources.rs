//! Services and their resources, where a request says what no package of Twilio's does. `tests/sdk` creates, reads, changes
//! and deletes each kind.

use std::time::Duration;

use onceward::config::NumberRule;
use onceward::engine::LockoutRule;
use onceward_testkit::{Setup, V2World, is_error, json, root};
use serde_json::json;

#[tokio::test]
async fn an_empty_text_removes_a_setting_and_the_configuration_keeps_its_own() {
    let world = V2World::new().await;
    let service = world.below("");
    let changed = json(&world.post(&service, &[("DefaultTemplateSid", ""), ("TtsName", "cat")]).await);
    assert_eq!(changed["tts_name"], "cat");
    assert_eq!(json(&world.post(&service, &[("TtsName", "")]).await)["tts_name"], json!(null));
    for (name, value) in [("Lockout", "sometimes"), ("Resend", "maybe")] {
        is_error(&world.post(&service, &[(name, value)]).await, 400, 60200);
    }
    let default = format!("/v2/Services/{}", world.registry.default_service().sid);
    is_error(&world.post(&default, &[("FriendlyName", "Cat")]).await, 409, 20409);
    is_error(&world.ask("DELETE", &default, &root(), &[], "").await, 409, 20409);
}

#[tokio::test]
async fn times_of_a_service_take_the_units_of_the_configuration() {
    let world = V2World::new().await;
    let fixed = |seconds| LockoutRule::Fixed(Duration::from_secs(seconds));
    for (body, expected) in [
        (json!({ "CodeLife": 60, "Lockout": 120 }), (60, fixed(120))),
        (json!({ "CodeLife": "90", "Lockout": "1h30m" }), (90, fixed(5_400))),
        (json!({ "CodeLife": "5m", "Lockout": "verification" }), (300, LockoutRule::Verification)),
    ] {
        assert_eq!(world.post_json(&world.below(""), &body).await.status, 200, "{body}");
        let settings = &world.registry.service(&world.service.sid).expect("the service").settings;
        assert_eq!((settings.code_life.as_secs(), settings.lockout), expected, "{body}");
    }
}

#[tokio::test]
async fn a_number_of_the_safe_list_may_be_spelled_otherwise() {
    let mut setup = Setup::default();
    setup.settings.registry.numbers = NumberRule::default();
    let world = V2World::with(setup).await;
    let made = json(&world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+1 415 555 2671")]).await);
    assert_eq!(made["phone_number"], "+14155552671");
    is_error(&world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+11234567890")]).await, 400, 60200);
    for path in ["/v2/SafeList/Numbers/+14155552671", "/v2/SafeList/Numbers/%2B14155552671"] {
        assert_eq!(json(&world.get(path).await), made);
    }
}
