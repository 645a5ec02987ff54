//! The audit log: who changed what, by the API and by the command line.

use serde_json::Value;

use crate::support::{Finished, OWN_ACCOUNT, Says, Setup, Shifted, V2, World, masked, sid, wrong};

#[tokio::test]
async fn changes_by_the_api_are_listed_with_their_author_and_request() {
    let world = World::of(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    assert_eq!(v2.get("/Audit").await.json()["entries"], Value::Array(Vec::new()), "the start is no entry");
    let made = v2.post("/Services", &[("FriendlyName", "Owl Bank")]).await;
    let service = sid(&made);
    let entry = only(&v2, "service.created").await;
    assert_eq!(entry["account_sid"], OWN_ACCOUNT);
    assert_eq!((&entry["actor"], &entry["actor_sid"]), (&"account".into(), &Value::Null), "{entry}");
    assert_eq!(entry["service_sid"], service, "{entry}");
    assert_eq!(entry["request_id"], made.header("x-request-id"), "{entry}");
    let path = format!("/Services/{service}");

    v2.post(&path, &[("CodeLength", "7")]).await;
    assert_eq!(only(&v2, "service.changed").await["service_sid"], service);
    v2.post(&path, &[("CodeLength", "7")]).await;
    only(&v2, "service.changed").await;

    let key = key(&world, &["--service", "Owl Bank", "--scope", "admin,verify", "--name", "web"]).await;
    let as_key = V2::with_key(&world, &key.0, &key.1);
    let webhook = [("FriendlyName", "a"), ("EventTypes", "*"), ("WebhookUrl", "http://192.0.2.1/")];
    let webhook = as_key.made(&format!("{path}/Webhooks"), &webhook).await;
    let entry = only(&v2, "webhook.created").await;
    assert_eq!((&entry["actor"], &entry["actor_name"]), (&"key".into(), &"web".into()), "{entry}");
    assert_eq!((&entry["actor_sid"], &entry["resource_sid"]), (&key.0.into(), &webhook.as_str().into()));
    as_key.delete(&format!("{path}/Webhooks/{webhook}")).await;
    assert_eq!(only(&v2, "webhook.deleted").await["resource_sid"], webhook);

    let number = world.number();
    assert_eq!(v2.post("/SafeList/Numbers", &[("PhoneNumber", &number)]).await.status(), 201);
    let entry = only(&v2, "safe_number.added").await;
    assert_eq!(entry["number"], masked(&number), "{entry}");
    assert!(!entry.to_string().contains(&number), "{entry}");
    v2.delete(&format!("/SafeList/Numbers/{number}")).await;
    only(&v2, "safe_number.removed").await;

    let own = as_key.get("/Audit").await.json();
    let own = own["entries"].as_array().expect("entries");
    assert!(own.iter().all(|entry| entry["service_sid"] == service), "{own:?}");
    assert!(own.len() < entries(&v2, "").await.len(), "the safe list belongs to no service");
    v2.delete(&path).await;
    assert_eq!(only(&v2, "service.deleted").await["service_sid"], service);

    let first = v2.get("/Audit?PageSize=2").await.json();
    assert_eq!(first["entries"].as_array().map(Vec::len), Some(2));
    let next = first["meta"]["next_page_url"].as_str().expect("a second page");
    let next = v2.get(next.split_once("/v2").expect("a path").1).await.json();
    assert_ne!(first["entries"], next["entries"]);
    let of_service = entries(&v2, &format!("&ServiceSid={service}")).await;
    assert!(of_service.iter().all(|entry| entry["service_sid"] == service), "{of_service:?}");
}

#[tokio::test]
async fn an_admins_work_on_a_number_is_listed_and_verify_traffic_is_not() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let number = world.number();
    let key = key(&world, &["--service", "Owl Bank"]).await;
    let as_key = V2::with_key(&world, &key.0, &key.1);
    let before = entries(&v2, "").await.len();
    let begun = as_key.begins(&service, &number).await;
    as_key.checks(&service, &sid(&begun), &wrong(&world.twilio.code_for(&number))).await;
    let verification = format!("{service}/Verifications/{}", sid(&begun));
    assert_eq!(as_key.post(&verification, &[("Status", "canceled")]).await.status(), 200);
    assert_eq!(entries(&v2, "").await.len(), before, "a key with the scope verify");

    let begun = v2.begins(&service, &number).await;
    let verification = format!("{service}/Verifications/{}", sid(&begun));
    v2.post(&verification, &[("Status", "approved")]).await;
    let entry = only(&v2, "verification.approved").await;
    assert_eq!((&entry["number"], &entry["actor"]), (&masked(&number).into(), &"account".into()));
    v2.post(&verification, &[("Status", "approved")]).await;
    only(&v2, "verification.approved").await;

    let (number, code) = world.number_with_code().await;
    for _ in 0..5 {
        world.verify(&number, &wrong(&code)).await;
    }
    world.setup.command(["unlock", &number]).await;
    let entry = only(&v2, "number.unlocked").await;
    assert_eq!((&entry["number"], &entry["actor"]), (&masked(&number).into(), &"user".into()), "{entry}");
    assert_eq!(entry["actor_uid"], rustix::process::getuid().as_raw(), "{entry}");
}

#[tokio::test]
async fn the_command_line_lists_changes() {
    let (world, _, service) = World::with_service(Setup::new()).await;
    let (sid, _) = key(&world, &["--service", "Owl Bank", "--name", "web"]).await;
    world.setup.command(["keys", "revoke", &sid]).await;
    let setup = world.setup.clone();
    let all = lines(&setup.command(["audit", "--json"]).await);
    assert_eq!(actions(&all), ["key.created", "key.revoked", "service.created"], "{all:?}");
    let revoked = all.iter().find(|line| line["action"] == "key.revoked").expect("it");
    assert_eq!((&revoked["resource_sid"], &revoked["actor"]), (&sid.as_str().into(), &"user".into()));
    let of_service = ["audit", "--json", "--service"];
    let named = setup.command(of_service.into_iter().chain(["Owl Bank"])).await;
    assert_eq!(lines(&named).len(), 3, "{}", named.output);
    let other = setup.command(of_service.into_iter().chain(["default"])).await;
    assert_eq!(lines(&other).len(), 0, "{}", other.output);
    let none = setup.command(["audit", "--since", "2100-01-31"]).await;
    assert!(none.output.contains("no changes found"), "{}", none.output);
    let table = setup.command(["audit"]).await;
    table.says(["ACTION", "service.created", "account", "user"]);
    // A change without a server has an entry too.
    world.server.stop().await;
    setup.command(["keys", "create"]).await;
    let _server = setup.start().await;
    let all = lines(&setup.command(["audit", "--json"]).await);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(service.contains("/Services/VA"));
}

#[tokio::test]
async fn an_entry_ends_with_audit_retention_and_survives_a_kill() {
    let setup = V2::account(Setup::new().config("audit-retention", "2days"));
    let (clock, setup) = Shifted::over(setup);
    let world = World::of(setup).await;
    V2::of(&world).service(&[]).await;
    let world = world.restart_after_kill().await;
    assert_eq!(entries(&V2::of(&world), "").await.len(), 1);
    clock.by(3 * 24 * 60 * 60);
    let (world, _) = world.restart().await;
    assert_eq!(entries(&V2::of(&world), "").await.len(), 0);
}

async fn entries(v2: &V2, filters: &str) -> Vec<Value> {
    let listed = v2.get(&format!("/Audit?PageSize=1000{filters}")).await;
    listed.json()["entries"].as_array().unwrap_or_else(|| panic!("{}", listed.text())).clone()
}

/// The one entry with this action.
async fn only(v2: &V2, action: &str) -> Value {
    let mut found = entries(v2, "").await;
    found.retain(|entry| entry["action"] == action);
    assert_eq!(found.len(), 1, "{action}: {found:?}");
    found.remove(0)
}

/// Creates a key with the command line, and returns its id and secret.
async fn key(world: &World, arguments: &[&str]) -> (String, String) {
    let command = ["keys", "create", "--json"];
    let made = world.setup.command(command.iter().chain(arguments).copied()).await;
    let key = lines(&made).remove(0);
    let text = |field: &str| key[field].as_str().expect("a text").to_owned();
    (text("sid"), text("secret"))
}

fn actions(lines: &[Value]) -> Vec<&str> {
    let mut actions: Vec<&str> = lines.iter().filter_map(|line| line["action"].as_str()).collect();
    actions.sort_unstable();
    actions
}

#[track_caller]
fn lines(finished: &Finished) -> Vec<Value> {
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    finished.output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
