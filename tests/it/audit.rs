//! The audit log: who changed what, by the API and by the command line.

use crate::support::prelude::*;

#[tokio::test]
async fn changes_by_the_api_are_listed_with_their_author_and_request() {
    let (world, v2) = World::with_account(Setup::new()).await;
    assert_eq!(v2.get("/Audit").await.json()["entries"], Value::Array(Vec::new()), "the start is no entry");
    let made = v2.post("/Services", &[("FriendlyName", "Owl Bank")]).await;
    let service = sid(&made);
    let entry = v2.audited("service.created").await;
    assert_eq!(entry["account_sid"], OWN_ACCOUNT);
    assert_eq!((&entry["actor"], &entry["actor_sid"]), (&"account".into(), &Value::Null), "{entry}");
    assert_eq!(entry["service_sid"], service, "{entry}");
    assert_eq!(entry["request_id"], made.header("x-request-id"), "{entry}");
    let path = format!("/Services/{service}");

    v2.post(&path, &[("CodeLength", "7")]).await;
    assert_eq!(v2.audited("service.changed").await["service_sid"], service);

    let options = ["--service", "Owl Bank", "--scope", "admin,verify", "--name", "web"];
    let key = world.setup.new_key(&options).await;
    let as_key = V2::with_key_of(&world, &key);
    let webhook = as_key.webhook(&path, "*", "http://192.0.2.1/").await;
    let webhook = text(&webhook, "sid");
    let entry = v2.audited("webhook.created").await;
    assert_eq!((&entry["actor"], &entry["actor_name"]), (&"key".into(), &"web".into()), "{entry}");
    assert_eq!((&entry["actor_sid"], text(&entry, "resource_sid")), (&key["sid"], webhook));

    let number = world.number();
    assert_eq!(v2.post("/SafeList/Numbers", &[("PhoneNumber", &number)]).await.status(), 201);
    let entry = v2.audited("safe_number.added").await;
    assert_eq!(entry["number"], masked(&number), "{entry}");
    assert!(!entry.to_string().contains(&number), "{entry}");
    v2.delete(&format!("/SafeList/Numbers/{number}")).await;
    v2.audited("safe_number.removed").await;

    let own = as_key.get("/Audit").await.json();
    let own = own["entries"].as_array().expect("entries");
    assert!(own.iter().all(|entry| entry["service_sid"] == service), "{own:?}");
    assert!(own.len() < v2.audit("").await.len(), "the safe list belongs to no service");

    let first = v2.get("/Audit?PageSize=2").await.json();
    assert_eq!(first["entries"].as_array().map(Vec::len), Some(2));
    let next = first["meta"]["next_page_url"].as_str().expect("a second page");
    let next = v2.get(next.split_once("/v2").expect("a path").1).await.json();
    assert_ne!(first["entries"], next["entries"]);
    let of_service = v2.audit(&format!("&ServiceSid={service}")).await;
    assert!(of_service.iter().all(|entry| entry["service_sid"] == service), "{of_service:?}");
}
