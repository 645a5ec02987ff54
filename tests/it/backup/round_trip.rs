//! A server continues after an import from the exported state.

use crate::support::prelude::*;

#[tokio::test]
async fn a_server_goes_on_where_the_export_was_made() {
    let world = World::new().await;
    let (waiting, code) = world.number_with_code().await;
    let (counted, counted_code) = world.number_with_code().await;
    world.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 4));
    let (locked_number, locked_code) = world.locked_out().await;
    let (used, used_code) = world.number_with_code().await;
    world.verify(&used, &used_code).await.expects(verified(&used));

    // The server runs during this export.
    let exported = export(&world.setup, "backup.jsonl").await;
    let text = exported.join("\n");
    for code in [&code, &counted_code, &locked_code, &used_code] {
        assert!(!text.contains(&format!("\"{code}\"")), "a code is in the export");
    }
    let header = parsed(&exported[0]);
    assert_eq!(
        (&header["is"], &header["format"]),
        (&json!("onceward export"), &json!(onceward::store::FORMAT))
    );
    let numbers = records(&exported).iter().filter(|line| line.starts_with("{\"kind\":\"numbers\""));
    assert_eq!(numbers.count(), 3, "the used code is forgotten: {text}");

    world.server.stop().await.exits(0);
    import(&world.setup, "backup.jsonl", "restored").await.exits(0).says(["imported 3 numbers"]);

    replace_data(&world.setup, "restored");
    let server = world.setup.start().await;
    server.client.verify(&waiting, &code).await.expects(verified(&waiting));
    server.client.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 3));
    server.client.verify(&locked_number, &locked_code).await.expects(locked(&locked_number, 30));
    server.client.verify(&used, &used_code).await.expects(incorrect(&used, 5));
    server.client.send(&used).await.expects(sent(&used, 5));
}
