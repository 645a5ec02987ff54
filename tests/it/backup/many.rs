//! Exports many numbers, imports them and exports them again. `BACKUP_NUMBERS=1000000` tries the promised million, with
//! the release build; the test prints times and sizes.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use onceward::cli::backup::{Header, Writer};
use onceward::clock::{Clock as _, SystemClock};
use onceward::domain::{CodeLength, PhoneNumber, ServiceId, Timestamp};
use onceward::engine::{FailureCount, NumberState, Salt, Verification};
use onceward::node::kinds::for_tools;
use onceward::numbers::NumberKey;
use onceward::shard::{Record as _, encode};
use onceward::store::{CopiedRecord, Key};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{copy_key, export, lines_of, records};
use crate::support::{Setup, World, from_environment};

const SEED: u64 = 20_261_120;

#[tokio::test]
async fn many_numbers_come_through_an_export_and_an_import_as_they_were() {
    let numbers = from_environment("BACKUP_NUMBERS", 3_000);
    println!("BACKUP_NUMBERS={numbers}");
    let world = World::new().await;
    let setup = world.setup.clone();
    copy_key(&setup, "first");
    copy_key(&setup, "second");
    // The generated export must belong to this server's key.
    let key = super::json(&export(&setup, "empty.jsonl").await[0])["key"].as_str().expect("a key").to_owned();
    make_up(&setup.home().join("made-up.jsonl"), numbers, &key);

    run(&setup, &["import", "made-up.jsonl", "--data-dir", "first"]).await;
    run(&setup, &["export", "--data-dir", "first", "--out", "first.jsonl"]).await;
    run(&setup, &["import", "first.jsonl", "--data-dir", "second"]).await;
    run(&setup, &["export", "--data-dir", "second", "--out", "second.jsonl"]).await;
    run(&setup, &["check-data", "--data-dir", "second"]).await;
    let [made_up, first, second] =
        ["made-up.jsonl", "first.jsonl", "second.jsonl"].map(|name| lines_of(&setup.home().join(name)));
    assert_eq!(records(&first).len() as u64, numbers);
    assert!(records(&first) == records(&made_up), "the first export is not what was imported");
    assert!(records(&second) == records(&first), "the second export is not the first");
    let size = fs::metadata(setup.home().join("first.jsonl")).expect("it is there").len();
    println!("the export has {size} bytes");
}

#[expect(clippy::print_stdout, reason = "the figures are what the long run is for")]
async fn run(setup: &Setup, command: &[&str]) {
    let clock = SystemClock::start();
    let began = clock.now();
    setup.command(command.iter().copied()).await.exits(0);
    println!("{}: {:?}", command.join(" "), clock.now().since(began));
}

/// Writes an export of `numbers` numbers.
pub fn make_up(path: &Path, numbers: u64, key: &str) {
    let mut rng = StdRng::seed_from_u64(SEED);
    let now = SystemClock::start().now();
    let header = Header::new(now, key.to_owned());
    let file = BufWriter::new(File::create(path).expect("a file"));
    let mut writer = Writer::begin(file, &header).expect("written");
    let kinds = for_tools();
    for i in 0..numbers {
        let number = PhoneNumber::from_u64(14_150_000_000 + i * 7).expect("a number");
        let later =
            |rng: &mut StdRng| now.plus(Duration::from_millis(rng.random_range(3_600_000..7_200_000)));
        let end = later(&mut rng);
        let state = if rng.random_range(0..10) == 0 {
            NumberState::Locked { until: end }
        } else {
            let verification = Verification {
                salt: Salt(rng.random()),
                length: CodeLength::SIX,
                expires: later(&mut rng),
                sending: 0,
                sending_until: later(&mut rng),
                sent: true,
                postponed: false,
                held: None,
                checking_until: Timestamp::EPOCH,
                counted: None,
            };
            NumberState::Open(onceward::engine::OpenNumber {
                failures: FailureCount { in_a_row: rng.random_range(0..5), ..FailureCount::NONE },
                keep_until: end,
                verification: Some(verification),
            })
        };
        // The import assigns the slot.
        let id = NumberKey::new(ServiceId::DEFAULT, number).id();
        let key = Key { slot: 0, kind: NumberState::KIND, id };
        let entry = CopiedRecord { key, expires: state.expires(), record: encode(&state) };
        writer.write(&entry, &kinds).expect("written");
    }
    writer.finish().expect("written");
}
