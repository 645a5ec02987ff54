//! The pumping guard refuses messages that an attacker earns money with.

use crate::support::prelude::*;

#[tokio::test]
async fn a_trusted_proxy_vouches_for_a_person_by_a_header() {
    let setup = Setup::new()
        .config("guard", json!({}))
        .config("trusted-proxies", "127.0.0.1")
        .config("risk-check-header", "X-Risk-Check");
    let world = World::of(setup).await;
    for last in 0..10 {
        world.send(&format!("+99290000010{last}")).await.expects_status(200);
    }
    let body = json!({ "phoneNumber": "+992900000199" }).to_string();
    for (value, status) in [("enable", 403), ("off", 403), ("disabled", 403), ("disable", 200)] {
        let answer = world.post_with("/api/send-otp", &[("X-Risk-Check", value)], body.clone()).await;
        assert_eq!(answer.status(), status, "{value}");
    }
}

#[tokio::test]
async fn a_key_of_one_service_changes_the_guard_of_that_service_only() {
    let (world, account, service) = World::with_service(Setup::new()).await;
    let other = account.service(&[]).await;
    let [sid, others] = [&service, &other].map(|path| path.trim_start_matches("/Services/"));
    let owner = world.with_new_key(&["--service", sid, "--scope", "admin"]).await;
    let number = world.number();

    let entry = [("Subject", number.as_str()), ("Action", "block")];
    let made = owner.post("/Guard/Entries", &entry).await;
    assert_eq!((made.status(), text(&made.json(), "service_sid")), (201, sid));
    let elsewhere = [entry[0], entry[1], ("ServiceSid", others)];
    assert_eq!(owner.post("/Guard/Entries", &elsewhere).await.status(), 404);
    assert_eq!(account.begins(&service, &number).await.json()["code"], 60_410);
    assert_eq!(account.begins(&other, &number).await.status(), 201);

    let path = format!("/Guard/Explanations/{number}");
    let own = owner.get(&path).await.json();
    assert_eq!(own["service_sid"], sid, "{own}");
    assert_eq!((&own["rule"], &own["allowances"][0]["action"]), (&"entry".into(), &"block".into()));
    assert_eq!(owner.get(&format!("{path}?ServiceSid={others}")).await.status(), 404);
    let of_account = account.get(&format!("{path}?ServiceSid={sid}")).await.json();
    assert_eq!((&of_account["service_sid"], &of_account["rule"]), (&sid.into(), &"entry".into()));

    let listed = owner.get("/Guard/Entries").await.json();
    assert_eq!(text(&listed["entries"][0], "subject"), number);
    for status in [204, 404] {
        assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), status);
    }
    let blocked = account.audited("guard.entry_blocked").await;
    assert_eq!((text(&blocked, "actor"), text(&blocked, "service_sid")), ("key", sid));
    let own = owner.get("/Audit").await.json()["entries"].as_array().expect("a list").clone();
    assert!(own.contains(&blocked) && own.iter().all(|entry| entry["service_sid"] == sid), "{own:?}");
}
