//! Services and their resources: create, read, change, delete.

use std::time::Duration;

use onceward::config::NumberRule;
use onceward::domain::{Sid, SidKind};
use onceward::engine::LockoutRule;
use onceward_testkit::{Setup, V2World, gateway, is_error, json};
use serde_json::{Value, json};

/// Creates, fetches, lists, changes and deletes one resource; the change is the form field `(name, value)`, shown as
/// `shown`.
async fn lives(
    world: &V2World,
    list: &str,
    key: &str,
    new: &[(&str, &str)],
    change: (&str, &str),
    shown: (&str, Value),
) {
    let made = world.post(list, new).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = json(&made);
    let path =
        made["url"].as_str().expect("an address").trim_start_matches("http://codes.example").to_owned();
    assert!(path.starts_with(list), "{path}");
    let mut without_secret = made.clone();
    without_secret.as_object_mut().expect("an object").remove("secret");
    assert_eq!(json(&world.get(&path).await), without_secret);
    assert_eq!(json(&world.get(list).await)[key], json!([without_secret]));

    let changed = world.post(&path, &[change]).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(json(&changed)[shown.0], shown.1);
    assert_eq!(json(&world.get(&path).await)[shown.0], shown.1);

    let gone = world.delete(&path).await;
    assert_eq!((gone.status, gone.header("content-type")), (204, None));
    for reply in [world.get(&path).await, world.post(&path, &[change]).await, world.delete(&path).await] {
        is_error(&reply, 404, 20404);
    }
    assert_eq!(json(&world.get(list).await)[key], json!([]));
}

#[tokio::test]
async fn a_rate_limit_and_its_buckets_live() {
    let world = V2World::new().await;
    let limits = world.below("/RateLimits");
    let new = [("UniqueName", "session"), ("Description", "each")];
    lives(&world, &limits, "rate_limits", &new, ("Description", "every"), ("description", json!("every")))
        .await;
    let limit = json(&world.post(&limits, &new).await);
    let buckets =
        limit["links"]["buckets"].as_str().expect("an address").trim_start_matches("http://codes.example");
    let new = [("Max", "5"), ("Interval", "60")];
    lives(&world, buckets, "buckets", &new, ("Max", "7"), ("max", json!(7))).await;
    let named = format!("{limits}/session");
    assert_eq!(json(&world.get(&named).await), limit, "its unique name addresses it too");
    let bucket = json(&world.post(&format!("{named}/Buckets"), &new).await);
    assert_eq!(bucket["rate_limit_sid"], limit["sid"]);
    let bucket = format!("{named}/Buckets/{}", bucket["sid"].as_str().expect("a sid"));
    assert_eq!(json(&world.post(&bucket, &[("Max", "6")]).await)["max"], 6);
    assert_eq!(world.delete(&bucket).await.status, 204);
    is_error(&world.get(&format!("{limits}/other")).await, 404, 20404);
    is_error(&world.post(&limits, &[("UniqueName", "session")]).await, 400, 60208);
    is_error(&world.post(&limits, &[("UniqueName", "a session")]).await, 400, 60209);
    is_error(&world.post(&limits, &[]).await, 400, 60200);
    is_error(&world.post(buckets, &[("Max", "5")]).await, 400, 60200);
    is_error(&world.post(buckets, &[("Max", "0"), ("Interval", "60")]).await, 400, 60200);
}

#[tokio::test]
async fn a_description_stays_unless_it_is_given_and_goes_when_it_is_empty() {
    let world = V2World::new().await;
    let limit =
        json(&world.post(&world.below("/RateLimits"), &[("UniqueName", "s"), ("Description", "each")]).await);
    let path = world.below(&format!("/RateLimits/{}", limit["sid"].as_str().expect("a sid")));
    assert_eq!(json(&world.post(&path, &[]).await)["description"], "each");
    assert_eq!(json(&world.post(&path, &[("Description", "")]).await)["description"], json!(null));
}

#[tokio::test]
async fn a_messaging_configuration_lives() {
    let world = V2World::new().await;
    let gateway = gateway().to_string();
    let new = [("Country", "de"), ("MessagingServiceSid", gateway.as_str())];
    let shown = ("messaging_service_sid", json!(gateway));
    let change = ("MessagingServiceSid", gateway.as_str());
    lives(&world, &world.below("/MessagingConfigurations"), "messaging_configurations", &new, change, shown)
        .await;
    let unknown = [("Country", "DE"), ("MessagingServiceSid", "MG00000000000000000000000000000000")];
    let reply = world.post(&world.below("/MessagingConfigurations"), &unknown).await;
    is_error(&reply, 400, 60200);
    assert!(reply.body.contains(&gateway), "the refusal names what there is: {}", reply.body);
}

#[tokio::test]
async fn a_webhook_lives_and_its_secret_is_shown_once() {
    let world = V2World::new().await;
    let hooks = world.below("/Webhooks");
    let new = [
        ("FriendlyName", "billing"),
        ("EventTypes", "verification.approved"),
        ("EventTypes", "message.failed"),
        ("WebhookUrl", "https://shop.example/hooks"),
    ];
    lives(&world, &hooks, "webhooks", &new, ("Status", "disabled"), ("status", json!("disabled"))).await;
    let made = json(&world.post(&hooks, &new).await);
    assert_eq!(made["event_types"], json!(["verification.approved", "message.failed"]));
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_") && secret.len() > 38));
    for (name, value) in [("Version", "v1"), ("Status", "on"), ("EventTypes", "x"), ("WebhookUrl", "ftp://x")]
    {
        let mut form = new.to_vec();
        form.retain(|(kept, _)| *kept != name);
        form.push((name, value));
        is_error(&world.post(&hooks, &form).await, 400, 60200);
    }
    is_error(&world.post(&hooks, &new[1..]).await, 400, 60200);
}

#[tokio::test]
async fn a_service_lives_and_one_of_the_configuration_is_changed_there() {
    let world = V2World::new().await;
    let new =
        [("FriendlyName", "Cat Bank"), ("CodeLength", "8"), ("DefaultTemplateSid", ""), ("CodeLife", "60")];
    let made = json(&world.post("/v2/Services", &new).await);
    assert_eq!((&made["friendly_name"], &made["code_length"]), (&json!("Cat Bank"), &json!(8)));
    let path = format!("/v2/Services/{}", made["sid"].as_str().expect("a sid"));
    let changed = json(&world.post(&path, &[("SkipSmsToLandlines", "true"), ("TtsName", "cat")]).await);
    assert_eq!((&changed["skip_sms_to_landlines"], &changed["tts_name"]), (&json!(true), &json!("cat")));
    assert_eq!(json(&world.post(&path, &[("TtsName", "")]).await)["tts_name"], json!(null));
    for (name, value) in [
        ("FriendlyName", "call 12345"),
        ("CodeLength", "3"),
        ("CodeLength", "many"),
        ("CodeLife", "1"),
        ("MaxChecks", "101"),
        ("Lockout", "sometimes"),
        ("Lockout", "growing"),
        ("Resend", "maybe"),
        ("DefaultTemplateSid", "HJ00000000000000000000000000000000"),
    ] {
        is_error(&world.post(&path, &[(name, value)]).await, 400, 60200);
    }
    assert_eq!(world.delete(&path).await.status, 204);
    is_error(&world.get(&path).await, 404, 20404);
    is_error(&world.post("/v2/Services", &[]).await, 400, 60200);

    let default = format!("/v2/Services/{}", world.registry.default_service().sid);
    is_error(&world.post(&default, &[("FriendlyName", "Cat")]).await, 409, 20409);
    is_error(&world.delete(&default).await, 409, 20409);
}

#[tokio::test]
async fn times_of_a_service_take_the_units_of_the_configuration() {
    let world = V2World::new().await;
    let new = [("FriendlyName", "Owl Bank"), ("CodeLife", "10m"), ("Lockout", "1h30m")];
    let made = json(&world.post("/v2/Services", &new).await);
    let sid = made["sid"].as_str().expect("a sid");
    let times = || {
        let sid = Sid::parse(SidKind::Service, sid).expect("a sid");
        let settings = &world.registry.service(&sid).expect("the service").settings;
        (settings.code_life.as_secs(), settings.lockout)
    };
    let fixed = |seconds| LockoutRule::Fixed(Duration::from_secs(seconds));
    assert_eq!(times(), (600, fixed(5_400)));
    let path = format!("/v2/Services/{sid}");
    for (body, expected) in [
        (json!({ "CodeLife": 60, "Lockout": 120 }), (60, fixed(120))),
        (json!({ "CodeLife": "90", "Lockout": "180" }), (90, fixed(180))),
        (json!({ "CodeLife": "5m", "Lockout": "verification" }), (300, LockoutRule::Verification)),
    ] {
        assert_eq!(world.post_json(&path, &body).await.status, 200, "{body}");
        assert_eq!(times(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_number_is_put_on_the_safe_list_and_taken_off() {
    let mut setup = Setup::default();
    setup.settings.registry.numbers = NumberRule::default();
    let world = V2World::with(setup).await;
    let made = world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+1 415 555 2671")]).await;
    assert_eq!((made.status, &json(&made)["phone_number"]), (201, &json!("+14155552671")));
    is_error(&world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+14155552671")]).await, 400, 60411);
    let unplanned = world.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+11234567890")]).await;
    is_error(&unplanned, 400, 60200);
    assert!(unplanned.body.contains("`PhoneNumber`"), "{}", unplanned.body);
    for path in ["/v2/SafeList/Numbers/+14155552671", "/v2/SafeList/Numbers/%2B14155552671"] {
        assert_eq!(json(&world.get(path).await), json(&made));
    }
    let path = "/v2/SafeList/Numbers/+14155552671";
    assert_eq!(world.delete(path).await.status, 204);
    is_error(&world.get(path).await, 404, 20404);
    is_error(&world.delete(path).await, 404, 20404);
    is_error(&world.get("/v2/SafeList/Numbers/unknown").await, 404, 20404);
}

#[tokio::test]
async fn templates_are_listed_in_each_language_and_found_by_name() {
    let world = V2World::new().await;
    let template = json(&world.get("/v2/Templates").await)["templates"][0].clone();
    for (locale, translation) in template["translations"].as_object().expect("translations") {
        assert_eq!(translation["locale"], locale.as_str());
    }
    for (name, found) in [(template["friendly_name"].as_str().expect("a name"), 1), ("unknown", 0)] {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("FriendlyName", name).finish();
        let list = json(&world.get(&format!("/v2/Templates?{query}")).await);
        assert_eq!(list["templates"].as_array().map(Vec::len), Some(found), "{name}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_20404() {
    let world = V2World::new().await;
    for path in ["/RateLimits/RK1", "/RateLimits/RK1/Buckets", "/Webhooks/YW1", "/MessagingConfigurations/XX"]
    {
        is_error(&world.get(&world.below(path)).await, 404, 20404);
    }
    is_error(&world.get("/v2/Services/VA1").await, 404, 20404);
    is_error(&world.get("/v2/Attempts/VL1").await, 404, 20404);
    is_error(&world.get("/v2/Services/VA00000000000000000000000000000000/RateLimits").await, 404, 20404);
}
