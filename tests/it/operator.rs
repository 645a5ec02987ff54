//! What an operator does: see what became of a number and unlock it, erase a number so that nothing about it is left, and
//! see who changed what.

use std::path::Path;

use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let world = World::new().await;
    let number = world.number();
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    world.setup.command(["status", &number]).await.says(["is unknown in the service default"]);
    world.send(&number).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &wrong(&code)).await;
    let pending = until("the message", &status, |status| status["messages"][0].is_object()).await;
    assert_eq!(pending["verification"]["status"], "pending", "{pending}");
    assert_eq!((&pending["wrong_codes_in_a_row"], &pending["locked_until"]), (&1.into(), &Value::Null));

    for _ in 0..4 {
        world.verify(&number, &wrong(&code)).await;
    }
    world.verify(&number, &code).await.expects(locked(&number, 30));
    assert!(status().await["locked_until"].is_string());
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unlocked"]);
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unknown; nothing was changed"]);

    world.send(&number).await.expects(sent(&number, 5));
    world.verify(&number, &world.twilio().code_for(&number)).await;
    let is_approved = |status: &Value| status["messages"][1]["verify_status"] == "success";
    until("the approval", &status, is_approved).await;
    let shown = world.setup.command(["status", &number]).await;
    shown.says([number.as_str(), "none is known", "lockout       none", "Twilio", "invalid_code", "success"]);
    assert!(!shown.output.contains(&world.twilio().code_for(&number)), "{}", shown.output);
}

#[tokio::test]
async fn an_erased_number_is_in_no_answer_no_export_and_no_file() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let webhook = v2.webhook(&service, "*", "http://192.0.2.1/").await;
    let deliveries = format!("{service}/Webhooks/{}/Deliveries", text(&webhook, "sid"));
    let (number, other) = (world.number(), world.number());
    for number in [&number, &other] {
        let form = [("To", number.as_str()), ("Channel", "sms")];
        let key = ("idempotency-key", number.trim_start_matches('+'));
        let begun = v2.post_with(&format!("{service}/Verifications"), key, &form).await;
        v2.checks(&service, &sid(&begun), &wrong(&world.twilio().code_for(number))).await;
        assert_eq!(v2.post("/SafeList/Numbers", &[("PhoneNumber", number)]).await.status(), 201);
    }
    let answers = async || {
        let mut all = String::new();
        for path in ["/Attempts", "/Audit", &deliveries] {
            all += &v2.get(path).await.text();
        }
        all + &world.setup.command(["export", "--out", "-"]).await.output
    };
    answers().await.says([&number, &other]);

    assert_eq!(v2.delete(&format!("{service}/Numbers/{number}")).await.json()["erased"], true);
    let after = answers().await;
    assert!(!after.contains(&number[1..]), "{after}");
    assert!(after.contains(&other), "the other number stays");
    for (number, status) in [(&number, 404), (&other, 200)] {
        v2.get(&format!("{service}/Lockouts/{number}")).await.expects_status(status);
        v2.get(&format!("/SafeList/Numbers/{number}")).await.expects_status(status);
    }
    let entry = v2.audited("number.erased").await;
    assert_eq!((&entry["actor"], &entry["number"]), (&"account".into(), &masked(&number).into()));

    let data = world.setup.data_dir();
    world.server.stop().await;
    assert!(found_below(&data, &other), "the search finds a number that is there");
    assert!(!found_below(&data, &number));
}

/// Whether a file has the number as text, as the integer of a record's key, or as that of a record.
fn found_below(directory: &Path, number: &str) -> bool {
    let value: u64 = number[1..].parse().expect("digits");
    let mut varint = Vec::new();
    prost::encoding::encode_varint(value, &mut varint);
    // The upper bytes are zeros, or flags of the record's key.
    let wanted = [&number.as_bytes()[1..], &value.to_be_bytes()[3..], &value.to_le_bytes()[..5], &varint];
    let has = |content: &[u8]| {
        wanted.iter().any(|wanted| content.windows(wanted.len()).any(|found| found == *wanted))
    };
    files(directory).iter().any(|(_, content)| has(used(content)))
}

#[tokio::test]
async fn changes_by_the_api_are_listed_with_their_author_and_request() {
    let (world, v2) = World::with_account(Setup::new()).await;
    assert_eq!(v2.get("/Audit").await.json()["entries"], json!([]), "the start is no entry");
    let made = v2.post("/Services", &[("FriendlyName", "Owl Bank")]).await;
    let service = sid(&made);
    let entry = v2.audited("service.created").await;
    let fields = ["account_sid", "actor", "actor_sid", "service_sid", "request_id"];
    let expected = json!([OWN_ACCOUNT, "account", null, service, made.header("x-request-id")]);
    assert_eq!(json!(fields.map(|field| &entry[field])), expected);

    let options = ["--service", "Owl Bank", "--scope", "admin,verify", "--name", "web"];
    let key = world.setup.new_key(&options).await;
    let as_key = V2::with_key_of(&world, &key);
    let webhook = as_key.webhook(&format!("/Services/{service}"), "*", "http://192.0.2.1/").await;
    let entry = v2.audited("webhook.created").await;
    let fields = ["actor", "actor_sid", "actor_name", "resource_sid"];
    let expected = json!(["key", key["sid"], "web", webhook["sid"]]);
    assert_eq!(json!(fields.map(|field| &entry[field])), expected);

    v2.service(&[]).await;
    let own = as_key.audit("").await;
    assert!(own.len() < v2.audit("").await.len() && own.iter().all(|entry| entry["service_sid"] == service));
    assert_eq!(v2.audit(&format!("&ServiceSid={service}")).await, own);
}
