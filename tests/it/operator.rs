//! What an operator does: see what became of a number and unlock it, end a hard stop, and erase a number so that nothing
//! about it is left.

use std::path::Path;

use crate::belief::NO_CODE;
use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let world = World::new().await;
    let number = world.number();
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    world.setup.command(["status", &number]).await.says(["is unknown in every service"]);
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
    world.send(&number).await;
    let refused = until("the refusal", &status, |status| status["refusals"].is_string()).await;
    assert!(refused["locked_until"].is_string());
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unlocked"]);
    assert_eq!(status().await["refusals"], Value::Null);
    world.setup.command(["unlock", &number]).await.exits(1).says(["is not locked", "nothing was changed"]);

    world.send(&number).await.expects(sent(&number, 5));
    world.verify(&number, &world.twilio().code_for(&number)).await;
    let is_approved = |status: &Value| status["messages"][0]["verify_status"] == "success";
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
async fn a_key_of_the_administration_ends_a_hard_stop_and_a_webhook_is_told() {
    let (world, v2) = World::with_account(Setup::new().config("webhook-private-addresses", true)).await;
    let service = v2.service(&[("MaxChecks", "100")]).await;
    let receiver = Receiver::start().await;
    let hook = v2.webhook(&service, "number.locked", &receiver.url()).await;
    let number = world.number();
    let path = format!("{service}/Lockouts/{number}");
    v2.begins(&service, &number).await.tells(201, "pending");
    for _ in 0..100 {
        v2.checks_number(&service, &number, NO_CODE).await;
    }
    let seconds = v2.begins(&service, &number).await.tells(429, "60202").retry_after();
    assert!((29..=30).contains(&(seconds / (24 * 3_600))), "{seconds} s");

    let event = receiver.next(text(&hook, "secret")).await;
    assert_eq!((&event["type"], &event["data"]["to"]), (&json!("number.locked"), &json!(number)));
    let shown = v2.get(&path).await.json();
    assert_eq!(shown["wrong_codes"], json!(100));
    assert_eq!(text(&shown, "date_locked_until")[..19], text(&event["data"], "locked_until")[..19]);
    let erased = v2.delete(&format!("{service}/Numbers/{number}")).await.json();
    assert_eq!(erased["date_locked_until"], shown["date_locked_until"], "an erasure leaves it");

    let key = world.with_new_key(&["--scope", "admin"]).await;
    assert_eq!(key.delete(&path).await.status(), 204);
    assert_eq!(v2.get(&path).await.status(), 404);
    v2.begins(&service, &number).await.tells(201, "pending");
    v2.checks_number(&service, &number, &world.twilio().code_for(&number)).await.tells(200, "approved");
}
