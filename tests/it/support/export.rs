//! Exports of data directories.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use onceward::cli::backup::{Header, Writer};
use onceward::clock::{Clock as _, SystemClock};
use onceward::domain::{CodeLength, PhoneNumber, ServiceId, Timestamp};
use onceward::engine::{FailureCount, NumberState, OpenNumber, Salt, Verification};
use onceward::node::kinds::for_tools;
use onceward::shard::{Record as _, encode};
use onceward::store::{CopiedRecord, Key};
use onceward::verification::numbers::NumberKey;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{Finished, Setup};

/// Exports the setup's data directory into a file in its home, and returns the lines.
pub async fn export(setup: &Setup, name: &str) -> Vec<String> {
    setup.command(["export", "--out", name]).await.exits(0);
    lines_of(&setup.home().join(name))
}

pub fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("an export");
    text.lines().map(str::to_owned).collect()
}

/// The lines without the first, which contains a time, and the last, whose sum depends on the first.
pub fn records(lines: &[String]) -> &[String] {
    &lines[1..lines.len() - 1]
}

/// Imports a file from the setup's home into another directory there, with the setup's key.
pub async fn import(setup: &Setup, name: &str, into: &str) -> Finished {
    copy_key(setup, into);
    setup.command(["import", name, "--data-dir", into]).await
}

/// Puts a directory of the setup's home in the place of its data directory.
pub fn replace_data(setup: &Setup, by: &str) {
    fs::remove_dir_all(setup.data_dir()).expect("removed");
    fs::rename(setup.home().join(by), setup.data_dir()).expect("put in its place");
}

pub fn copy_key(setup: &Setup, into: &str) {
    let directory = setup.home().join(into);
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(setup.data_dir().join("server.key"), directory.join("server.key")).expect("the key");
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub fn make_up_export(path: &Path, numbers: u64, key: &str) {
    let mut rng = StdRng::seed_from_u64(20_261_120);
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
            NumberState::Open(OpenNumber {
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
