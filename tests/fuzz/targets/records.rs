//! Records of numbers and of sends.

use bytes::Bytes;
use onceward::delivery::attempts::AttemptLog;
use onceward::domain::{PhoneNumber, ServiceId};
use onceward::engine::NumberState;
use onceward::shard::{Record as _, RecordError, RecordKey, Stored, Table as _, decode, encode};
use onceward::verification::numbers::table::NumberTable;
use onceward::verification::numbers::{NumberCapacity, NumberKey};

/// The largest record of a number, in bytes.
const LARGEST_STATE: usize = 118;

/// A number's record: the input itself, and the input after the current version.
pub fn states(input: &[u8]) {
    state(input);
    state(&[&[NumberState::VERSION], input].concat());
}

fn state(record: &[u8]) {
    match decode::<NumberState>(record) {
        Ok(state) => {
            let kept = encode(&state);
            assert!(kept.len() <= LARGEST_STATE, "{} bytes", kept.len());
            assert_eq!(decode::<NumberState>(&kept).expect("what was just written"), state);
            assert!(!format!("{state:?}").contains("Salt(["), "a salt is printed");
            in_memory(&state, kept);
        }
        Err(RecordError::Version { found, known, .. }) => assert!(found == record[0] && found != known),
        Err(error @ RecordError::Contents { .. }) => assert!(error.to_string().len() < 200),
        Err(RecordError::Kind(_)) => panic!("a kind was looked up"),
    }
}

/// The table in memory returns the state that it was given.
fn in_memory(state: &NumberState, bytes: Bytes) {
    let number = PhoneNumber::from_u64(14_155_550_100).expect("a number");
    let id = NumberKey::new(ServiceId::DEFAULT, number).id();
    let key = RecordKey { slot: 7, kind: NumberState::KIND, id };
    let stored = Stored::encoded(bytes, state.expires());
    let mut table = NumberTable::new(NumberCapacity::new(1));
    table.set(key, stored.clone());
    assert_eq!(table.get(&key).as_ref(), Some(&stored));
    assert_eq!(table.at(0), Some((key, stored)));
    assert_eq!(table.end_at(0), Some((key, state.expires())));
    assert!(table.remove(&key) && table.is_empty());
}

/// A record of sends: as it is, and behind the version that is written today.
pub fn logs(input: &[u8]) {
    log(input);
    log(&[&[AttemptLog::VERSION], input].concat());
}

fn log(record: &[u8]) {
    match decode::<AttemptLog>(record) {
        Ok(log) => {
            let kept = encode(&log);
            // Unknown data is dropped: a record grows only by longer spellings of languages.
            assert!(kept.len() <= record.len() + 16, "{} bytes from {}", kept.len(), record.len());
            assert_eq!(decode::<AttemptLog>(&kept).expect("what was just written"), log);
        }
        Err(RecordError::Version { found, .. }) => assert_ne!(found, AttemptLog::VERSION),
        Err(error) => assert!(error.to_string().len() < 300),
    }
}
