//! `onceward check-data` finds damage and data of a newer version, and changes nothing.

use std::fs;

use onceward::store::FORMAT;

use super::{SEGMENT, check, closed, damage, first_segment, killed, only_snapshot, serving};
use crate::support::prelude::*;

#[tokio::test]
async fn data_that_is_well_is_found_to_be_with_and_without_a_server() {
    let world = serving(3).await;
    let is_well = async |through_server: bool| {
        let report = check(&world.setup, 0).await;
        let facts = ["verdict", "through_server", "numbers"].map(|fact| report[fact].clone());
        assert_eq!(facts, [json!("ok"), json!(through_server), json!(3)]);
        report
    };
    is_well(true).await;
    world.server.killed().await;
    let before = files(&world.setup.data_dir());
    let report = is_well(false).await;
    assert_eq!(report["versions"]["numbers, version 2"], 3, "{report}");
    assert_eq!(report["journal"]["closed_in_order"], false, "{report}");
    assert_eq!(files(&world.setup.data_dir()), before, "a check changes nothing in the data directory");
    world.setup.command(["check-data"]).await.says(["no damage found"]);
}

#[tokio::test]
async fn every_damaged_frame_is_listed_with_its_place() {
    let setup = killed(6).await;
    let (path, mut bytes) = first_segment(&setup);
    let starts: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"owF2")).collect();
    assert!(starts.len() >= 6, "{} frames", starts.len());
    for start in [starts[1], starts[3]] {
        bytes[start + 40] ^= 1;
    }
    fs::write(&path, bytes).expect("damaged");
    let report = check(&setup, 65).await;
    let places: Vec<_> = damage(&report).iter().map(|one| one["at"].clone()).collect();
    assert_eq!(places, [json!(starts[1]), json!(starts[3])], "{report}");
    // A server refuses to start on it too.
    setup.run().await.exits(70);
    let text = setup.command(["check-data"]).await;
    assert!(text.output.matches("fail  data: ").count() == 2, "{}", text.output);
}

#[tokio::test]
async fn a_torn_end_is_no_damage_and_a_damaged_snapshot_is_also_of_a_server() {
    let setup = closed(3).await;
    let mut segments = files(&setup.data_dir().join("journal")).into_iter();
    let (last, mut bytes) = segments.rfind(|(_, bytes)| bytes.starts_with(SEGMENT)).expect("a segment");
    bytes.extend_from_slice(b"owF2 and what is left of a write");
    fs::write(&last, bytes).expect("torn");
    let report = check(&setup, 0).await;
    assert_eq!(report["verdict"], "ok", "{report}");
    assert_eq!(report["journal"]["torn"]["bytes"], 32, "{report}");
    let parts = ["look like a write that was torn and never", "damage here cannot be told from that"];
    setup.command(["check-data"]).await.says(parts);

    let inside = files(&only_snapshot(&setup));
    assert!(inside.len() >= 2, "a manifest and a database");
    for (file, whole) in inside {
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        for damaged in [&bytes[..], &whole[..whole.len() - 1], &[]] {
            fs::write(&file, damaged).expect("damaged");
            let report = check(&setup, 65).await;
            let [damage] = damage(&report)[..] else { panic!("{report}") };
            assert_eq!(damage["file"], json!(file), "{report}");
            let detail = damage["detail"].as_str().expect("a text");
            assert!(detail.starts_with("it cannot be used: "), "{report}");
        }
        fs::write(&file, whole).expect("restored");
    }
    assert_eq!(check(&setup, 0).await["verdict"], "ok");

    let server = setup.start().await;
    let inside = files(&only_snapshot(&setup)).into_iter().find(|(path, _)| path.ends_with("db"));
    fs::write(inside.expect("a database").0, "damaged").expect("damaged");
    setup.command(["check-data"]).await.exits(65).says(["cannot copy its records", "restore no backup"]);
    setup.command(["keys", "create", "--service", "default"]).await.exits(0);
    server.stop().await.exits(0);
    assert_eq!(check(&setup, 0).await["numbers"], 3, "the stop wrote what was in memory");
}

#[tokio::test]
async fn a_newer_format_names_the_version_that_it_needs() {
    let setup = closed(1).await;
    let path = setup.data_dir().join("FORMAT");
    let right = fs::read_to_string(&path).expect("FORMAT");
    let program = format!("program = {}\n", env!("CARGO_PKG_VERSION"));
    let [format, next] = [FORMAT, FORMAT + 1].map(|format| format!("format = {format}\n"));
    assert!(right.contains(&format) && right.contains(&program), "{right}");
    fs::write(&path, right.replace(&format, &next).replace(&program, "program = 9.1.0\n")).expect("edited");
    let before = files(&setup.data_dir());
    let started = setup.run().await.exits(70);
    let exported = setup.command(["export", "--out", "no.jsonl"]).await.exits(65);
    for finished in [started, exported] {
        // The log quotes the quotation marks.
        finished.output.replace("\\\"", "\"").says([
            &*format!("has format {}, written by onceward 9.1.0, and this program", FORMAT + 1),
            "install onceward 9.1.0 or a later version",
            "\"Downgrade\" in docs/operate/deploy.md",
        ]);
    }
    assert!(!setup.home().join("no.jsonl").exists());
    setup
        .command(["check-data"])
        .await
        .exits(65)
        .says([format!("format {}, written by onceward 9.1.0", FORMAT + 1)]);
    assert_eq!(files(&setup.data_dir()), before, "a refusal changes nothing");

    fs::write(&path, format!("{right}x")).expect("edited");
    let parts = ["FORMAT is damaged (", "it goes on after its fifth line", "put the file back"];
    setup.run().await.exits(70).says(parts);
    fs::write(&path, right).expect("put back");
    setup.start().await;
}
