//! Records of numbers and of sends, and the envelope around them.

use onceward::attempts::Track;
use onceward::engine::NumberState;
use onceward::numbers::record::{StateRecordError, decode, encode};
use onceward::shard;
use onceward::store::RecordError;
use onceward::store::record::{open, seal};

/// No record of a number takes more, in bytes: 113 and the envelope.
const LARGEST_STATE: usize = 118;

/// A number's record: as it is, and sealed (the version, then the body).
pub fn states(input: &[u8]) {
    enveloped(input);
    state(input);
    if let Some((version, body)) = input.split_first() {
        state(&seal(*version, body));
        // The known version is one of 256.
        state(&seal(1, body));
    }
}

fn state(record: &[u8]) {
    match decode(record) {
        Ok(state) => {
            assert_ne!(state, NumberState::Fresh, "nothing is kept of a number that never asked");
            let kept = encode(&state).expect("what is kept can be kept again");
            assert!(kept.len() <= LARGEST_STATE, "{} bytes", kept.len());
            assert_eq!(decode(&kept).expect("what was just written"), state);
            assert_eq!(encode(&state), Some(kept), "one state, one record");
            assert!(!format!("{state:?}").contains("Salt(["), "a salt is printed");
        }
        Err(StateRecordError::Envelope(error)) => assert_eq!(open(record), Err(error)),
        Err(StateRecordError::Version(version)) => assert_ne!(version, 1),
        Err(error @ StateRecordError::Contents(_)) => assert!(error.to_string().len() < 200),
    }
}

fn enveloped(input: &[u8]) {
    match open(input) {
        Ok((version, body)) => assert_eq!(seal(version, body), input),
        Err(RecordError::TooShort(bytes)) => assert!(bytes == input.len() && bytes < 5),
        Err(RecordError::Checksum) => {
            let (body, _) = input.split_at(input.len() - 4);
            assert_ne!(seal(body[0], &body[1..]), input);
        }
    }
}

/// A record of sends: as it is, and behind its version.
pub fn tracks(input: &[u8]) {
    track(input);
    track(&[&[1], input].concat());
}

fn track(record: &[u8]) {
    match shard::decode::<Track>(record) {
        Ok(track) => {
            let kept = shard::encode(&track);
            // What is not understood is not kept, so it grows by nothing but longer spellings of languages.
            assert!(kept.len() <= record.len() + 16, "{} bytes from {}", kept.len(), record.len());
            assert_eq!(shard::decode::<Track>(&kept).expect("what was just written"), track);
        }
        Err(shard::RecordError::Version { found, .. }) => assert_ne!(found, 1),
        Err(error) => assert!(error.to_string().len() < 300),
    }
}
