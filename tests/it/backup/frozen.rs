//! What a released format holds is checked, exported, imported and served for ever: `tests/fixtures`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onceward::clock::{Clock as _, SystemClock};
use tempfile::TempDir;

use crate::support::prelude::*;

/// The clock of every fixture's program, in seconds since 1970.
const AT: i64 = 1_700_000_000;

#[tokio::test]
async fn every_frozen_format_is_checked_exported_imported_and_served() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let formats = fs::read_dir(fixtures).expect("fixtures").map(|entry| entry.expect("an entry").path());
    let formats: Vec<TempDir> = formats.map(|format| unpacked(&format.join("data.tar.gz"))).collect();
    assert!(!formats.is_empty());
    for format in formats {
        let run = format.path().join("run");
        is_read_as_it_was_written(&format.path().join("records")).await;
        is_read_as_it_was_written(&run).await;
        is_served(&run).await;
    }
}

/// `scripts/formats` names a directory, to keep what this version writes.
#[tokio::test]
async fn a_run_of_the_program_is_made_for_a_fixture() {
    let scratch = tempfile::tempdir().expect("a directory");
    let named = std::env::var_os("ONCEWARD_FORMATS_INTO").map(PathBuf::from);
    let into = named.unwrap_or_else(|| scratch.path().to_owned()).join("run");
    make(&into).await;
    assert!(lines_of(&into.join("export.jsonl")).len() > 20);
    let setup = is_read_as_it_was_written(&into).await;
    is_served(&into).await;
    let known = known(&into);
    let server = setup.args(["--data-dir", "second"]).start().await;
    let number = text(&known, "waiting");
    server.client.verify(number, text(&known, "waiting_code")).await.expects(verified(number));
}

/// Asserts that the data directory has no damage, and the same records as the export of its time. Returns the setup,
/// whose directory `second` has the imported records.
async fn is_read_as_it_was_written(from: &Path) -> Setup {
    let setup = later(from);
    setup.command(["check-data"]).await.exits(0);
    let exported = export(&setup, "now.jsonl").await;
    let then = lines_of(&from.join("export.jsonl"));
    assert_eq!(identities(&exported), identities(&then));
    fs::copy(from.join("export.jsonl"), setup.home().join("then.jsonl")).expect("a copy");
    import(&setup, "then.jsonl", "second").await.exits(0);
    setup.command(["export", "--data-dir", "second", "--out", "again.jsonl"]).await.exits(0);
    let again = lines_of(&setup.home().join("again.jsonl"));
    assert_eq!(sorted(records(&again)), sorted(records(&exported)));
    setup
}

/// Asserts that a server goes on where the server of the fixture was killed.
async fn is_served(from: &Path) {
    let world = World::of(later(from)).await;
    let known = known(from);
    let text = |name: &str| text(&known, name);
    world.verify(text("waiting"), text("waiting_code")).await.expects(verified(text("waiting")));
    let counted = wrong(text("counted_code"));
    world.verify(text("counted"), &counted).await.expects(incorrect(text("counted"), 3));
    for answer in [world.verify(text("locked"), "123456").await, world.send(text("locked")).await] {
        assert_eq!(answer.status(), 403, "{}", answer.text());
    }

    let (root, service) = (V2::of(&world), text("service"));
    let v2 = V2::with_key(&world, text("key"), text("secret"));
    v2.checks(service, text("verification"), text("code")).await.tells(200, "approved");
    for list in ["RateLimits", "Webhooks"] {
        let shown = root.get(&format!("{service}/{list}")).await;
        assert!(shown.text().contains(text(list)), "{}", shown.text());
    }
    let buckets = root.get(&format!("{service}/RateLimits/{}/Buckets", text("RateLimits"))).await;
    assert_eq!(buckets.json()["buckets"][0]["max"], 4);
    let attempts = root.get("/Attempts").await.text();
    assert!(attempts.contains(text("verification")), "{attempts}");
    assert_eq!(root.get("/SafeList/Numbers/+14155550199").await.status(), 200);
    root.get("/Audit").await.says(["service.created"]);
}

/// What the clients of the fixture's server know.
fn known(from: &Path) -> Value {
    parsed(&fs::read_to_string(from.join("known.json")).expect("what is known"))
}

fn unpacked(archive: &Path) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(directory.path()).status();
    assert!(tar.expect("tar, which unpacks the fixtures").success(), "{}", archive.display());
    directory
}

/// A setup with a copy of the fixture's data directory, half a minute after the fixture was written.
fn later(from: &Path) -> Setup {
    let setup = clocked(30);
    copy_directory(&from.join("data"), &setup.data_dir());
    setup
}

/// A setup whose clock is this many seconds after [`AT`].
fn clocked(seconds: i64) -> Setup {
    let (clock, setup) = Shifted::over(V2::account(Setup::new()));
    clock.by(AT + seconds - i64::try_from(SystemClock::start().now().as_millis() / 1_000).expect("a time"));
    setup
}

/// Writes what `scripts/formats` keeps of this version: `data`, the export of a running server, and `known.json`, what
/// its clients know. One part of the records is in the snapshot, another in the journal of a killed server.
async fn make(into: &Path) {
    let world = World::of(clocked(0)).await;
    let (waiting, waiting_code) = world.number_with_code().await;
    let (counted, counted_code) = world.number_with_code().await;
    world.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 4));
    let root = V2::of(&world);
    let service = root.service(&[("CodeLength", "8"), ("CustomCodeEnabled", "true")]).await;
    let webhook = root.webhook(&service, "*", "https://app.example/events").await;
    let limit = root.rate_limit(&service, "address", "4", "3600").await;
    root.made("/SafeList/Numbers", &[("PhoneNumber", "+14155550199")]).await;

    // An orderly stop takes a snapshot.
    let (world, _) = world.restart().await;
    let (used, used_code) = world.number_with_code().await;
    world.verify(&used, &used_code).await.expects(verified(&used));
    let (locked, _) = world.locked_out().await;
    let key = world.setup.new_key(&["--service", "Owl Bank"]).await;
    let v2 = V2::with_key_of(&world, &key);
    let (number, limits) = (world.number(), json!({"address": "192.0.2.7"}).to_string());
    let form =
        [("To", number.as_str()), ("Channel", "sms"), ("RateLimits", &limits), ("Tags", "{\"order\":\"7\"}")];
    let begins = format!("{service}/Verifications");
    let begun = v2.post_with(&begins, ("idempotency-key", "order-7"), &form).await.expects_status(201);
    let known = json!({
        "waiting": waiting, "waiting_code": waiting_code, "counted": counted, "counted_code": counted_code,
        "locked": locked, "service": service, "key": key["sid"], "secret": key["secret"],
        "verification": sid(&begun), "code": world.twilio().code_for(&number), "RateLimits": limit, "Webhooks": webhook["sid"],
    });
    world.server.killed().await;
    export(&world.setup, "export.jsonl").await;

    fs::create_dir_all(into).expect("a directory");
    fs::write(into.join("known.json"), known.to_string()).expect("written");
    fs::copy(world.setup.home().join("export.jsonl"), into.join("export.jsonl")).expect("a copy");
    copy_directory(&world.setup.data_dir(), &into.join("data"));
}

/// Kind, service and subject of every record, in order.
fn identities(lines: &[String]) -> Vec<String> {
    let identity = |line: Value| format!("{} {} {}", line["kind"], line["service"], line["subject"]);
    sorted(&records(lines).iter().map(|line| identity(parsed(line))).collect::<Vec<_>>())
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}
