//! Erasure of a number: nothing about it is left in answers, in exports and, after a checkpoint, on the disk.

use std::path::Path;

use crate::support::prelude::*;

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
