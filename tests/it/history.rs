//! The counters over time, as exports show them.

use serde_json::{Value, json};

use crate::support::{Reply, Setup, World, export, parsed, records, wrong};

#[tokio::test]
async fn sends_and_verifications_are_counted_and_survive_a_kill() {
    let prices = json!({ "*": { "sms": "0.0125" } });
    let (world, v2) = World::with_account(Setup::new().config("prices", prices)).await;
    let (verified, code) = world.number_with_code().await;
    assert_eq!(world.verify(&verified, &wrong(&code)).await.status(), 401);
    assert_eq!(world.verify(&verified, &code).await.status(), 200);
    let (waiting, _) = world.number_with_code().await;
    let refused = world.number_with([Reply::Refuse { status: 400, code: 21211 }]);
    assert_ne!(world.send(&refused).await.status(), 200);
    let summary = v2.get("/Attempts/Summary").await.json();

    let (world, _) = world.restart().await;
    let world = world.restart_after_kill().await;
    let rows = history(&world.setup).await;
    let text = json!(rows).to_string();
    for number in [&verified, &waiting, &refused] {
        assert!(!text.contains(&number[1..]), "{text}");
    }
    for resolution in ["minute", "hour", "day"] {
        let sum = |field: &str| sum(&rows, resolution, field);
        let counts = ["/begun", "/verified", "/accepted", "/failed/number", "/cost_micros"].map(sum);
        assert_eq!(counts, [3, 1, 2, 1, 25_000], "{resolution}: {text}");
        assert_eq!(summary["total_attempts"], sum("/accepted") + sum("/failed/number"), "{summary}");
        assert_eq!(summary["total_converted"], sum("/verified"), "{summary}");
    }
    for row in &rows {
        let group = &row["series"]["group"];
        assert_eq!((&group["country"], &group["channel"]), (&json!("US"), &json!("sms")), "{row}");
        let is_begun = row["counts"]["begun"] != 0;
        let gateway = if is_begun { Value::Null } else { json!("TwilioMessages") };
        assert_eq!(group["gateway"], gateway, "{row}");
    }
}

/// The records of the history in an export.
async fn history(setup: &Setup) -> Vec<Value> {
    let lines = export(setup, "history.jsonl").await;
    let lines = records(&lines).iter().map(|line| parsed(line));
    lines.filter(|line| line["kind"] == "history").map(|mut line| line["record"].take()).collect()
}

/// The sum of a count over the records of a resolution.
fn sum(rows: &[Value], resolution: &str, field: &str) -> u64 {
    let rows = rows.iter().filter(|row| row["series"]["resolution"] == resolution);
    rows.filter_map(|row| row["counts"].pointer(field)?.as_u64()).sum()
}
