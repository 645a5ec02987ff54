//! `onceward check-data` finds damage and changes nothing.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{damage, files, json as parsed, only_snapshot};
use crate::support::{Finished, Says, Setup, World};

#[tokio::test]
async fn data_that_is_well_is_found_to_be_with_and_without_a_server() {
    let world = World::new().await;
    for _ in 0..3 {
        world.number_with_code().await;
    }
    let through_server = check(&world.setup).await.exits(0);
    let report = parsed(&through_server.output);
    assert_eq!(
        (&report["verdict"], &report["through_server"], &report["numbers"]),
        (&json!("ok"), &json!(true), &json!(3))
    );

    world.server.kill();
    world.server.ended().await;
    let before = files(&world.setup.data_dir());
    let report = parsed(&check(&world.setup).await.output);
    assert_eq!(
        (&report["verdict"], &report["through_server"], &report["numbers"]),
        (&json!("ok"), &json!(false), &json!(3))
    );
    assert_eq!(report["versions"]["numbers, version 1"], 3, "{report}");
    assert_eq!(report["journal"]["closed_in_order"], false, "{report}");
    assert_eq!(files(&world.setup.data_dir()), before, "a check changes nothing in the data directory");
    let text = world.setup.command(["check-data"]).await;
    assert!(text.output.contains("no damage found"), "{}", text.output);
}

#[tokio::test]
async fn every_damaged_frame_is_listed_with_its_place() {
    let world = World::new().await;
    for _ in 0..6 {
        world.number_with_code().await;
    }
    world.server.kill();
    world.server.ended().await;
    let journal = world.setup.data_dir().join("journal");
    let (path, mut bytes) = files(&journal)
        .into_iter()
        .find(|(_, bytes)| bytes.len() > 32 && bytes.starts_with(b"owjournl"))
        .expect("a segment");
    let starts: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"owF2")).collect();
    assert!(starts.len() >= 6, "{} frames", starts.len());
    for start in [starts[1], starts[3]] {
        bytes[start + 40] ^= 1;
    }
    fs::write(&path, bytes).expect("damaged");
    let checked = check(&world.setup).await.exits(65);
    let report = parsed(&checked.output);
    let places: Vec<_> = damage(&report).iter().map(|one| one["at"].clone()).collect();
    assert_eq!(places, [json!(starts[1]), json!(starts[3])], "{report}");
    // A server refuses to start on it too.
    world.setup.run().await.exits(70);
    let text = world.setup.command(["check-data"]).await;
    assert!(text.output.matches("fail  data: ").count() == 2, "{}", text.output);
}

#[tokio::test]
async fn a_torn_end_is_no_damage_and_a_damaged_snapshot_is() {
    let world = World::new().await;
    for _ in 0..3 {
        world.number_with_code().await;
    }
    world.server.stop().await;
    let journal = world.setup.data_dir().join("journal");
    let (last, mut bytes) =
        files(&journal).into_iter().rfind(|(_, bytes)| bytes.starts_with(b"owjournl")).expect("a segment");
    bytes.extend_from_slice(b"owF2 and what is left of a write");
    fs::write(&last, bytes).expect("torn");
    let report = parsed(&check(&world.setup).await.output);
    assert_eq!(report["verdict"], "ok", "{report}");
    assert_eq!(report["journal"]["torn"]["bytes"], 32, "{report}");
    let text = world.setup.command(["check-data"]).await.output;
    text.says(["look like a write that was torn and never", "damage here cannot be told from that"]);

    let snapshot = only_snapshot(&world.setup);
    let inside = files(&snapshot);
    assert!(inside.len() >= 2, "a manifest and a database");
    for (file, whole) in inside {
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        for damaged in [&bytes[..], &whole[..whole.len() - 1], &[]] {
            fs::write(&file, damaged).expect("damaged");
            is_damage_of(&check(&world.setup).await, &file);
        }
        fs::remove_file(&file).expect("removed");
        is_damage_of(&check(&world.setup).await, &file);
        fs::write(&file, whole).expect("restored");
    }
    assert_eq!(parsed(&check(&world.setup).await.output)["verdict"], "ok");
}

/// Asserts that the check names this file as damaged.
#[track_caller]
fn is_damage_of(checked: &Finished, file: &Path) {
    assert_eq!(checked.status.code(), Some(65), "{}", checked.output);
    let report = parsed(&checked.output);
    let [damage] = damage(&report)[..] else { panic!("{report}") };
    assert_eq!(damage["file"], json!(file), "{report}");
    assert!(damage["detail"].as_str().expect("a text").starts_with("it cannot be used: "), "{report}");
}

async fn check(setup: &Setup) -> Finished {
    setup.command(["check-data", "--json", "--quiet"]).await
}
