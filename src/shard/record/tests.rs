use proptest::prelude::*;

use super::*;
use crate::domain::{Channel, CodeLength, GatewayName, Held, Timestamp};
use crate::engine::{Counted, Salt, Tally, Verification};

fn held() -> impl Strategy<Value = Held> {
    (proptest::sample::select(&GatewayName::ALL), proptest::sample::select(&Channel::ALL))
        .prop_map(|(by, channel)| Held { by, channel })
}

/// Moments of every size, many of which the table's lines can say and some of which they cannot.
fn moment() -> impl Strategy<Value = Timestamp> {
    const TABLE: u64 = 1 << 48;
    let millis = prop_oneof![8 => 0..TABLE, 1 => TABLE - 1..=TABLE, 1 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(0)];
    millis.prop_map(Timestamp::from_millis)
}

fn counted() -> impl Strategy<Value = Counted> {
    let counts = (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>(), any::<u64>());
    (moment(), moment(), proptest::sample::select(&Channel::ALL), counts).prop_map(
        |(begun, last_send, channel, (sends, wrong, unnamed, spent, offset))| Counted {
            begun,
            last_send,
            channel,
            sends,
            wrong,
            unnamed,
            spent,
            offset,
        },
    )
}

fn tally() -> impl Strategy<Value = Tally> {
    let some = (any::<u8>(), moment()).prop_map(|(named, slow_until)| Tally { named, slow_until });
    prop_oneof![Just(Tally::NONE), some]
}

fn verification() -> impl Strategy<Value = Verification> {
    let times = (moment(), moment(), moment());
    let flags = (any::<bool>(), any::<bool>());
    let marks = (proptest::option::of(held()), proptest::option::weighted(0.3, counted()));
    (any::<[u8; 16]>(), 4_u8..=10, any::<u8>(), times, flags, marks).prop_map(
        |(salt, length, sending, (expires, sending_until, checking_until), flags, (held, counted))| {
            let (sent, postponed) = flags;
            Verification {
                salt: Salt(salt),
                length: CodeLength::new(length).expect("a length"),
                expires,
                sending,
                sending_until,
                sent,
                postponed,
                held,
                checking_until,
                counted,
            }
        },
    )
}

/// Every state that leaves a record.
pub fn kept_state() -> impl Strategy<Value = NumberState> {
    prop_oneof![
        moment().prop_map(|until| NumberState::Locked { until }),
        (any::<u8>(), moment(), tally(), proptest::option::of(verification())).prop_map(
            |(failures, keep_until, tally, verification)| NumberState::Open {
                failures,
                keep_until,
                tally,
                verification
            }
        ),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(state in kept_state()) {
        let record = encode(&state).expect("something to keep");
        prop_assert_eq!(decode(&record).expect("a record"), state);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&bytes);
        for version in 0..=VERSION {
            let _ = decode(&envelope::seal(version, &bytes));
        }
    }
}

#[test]
fn the_largest_state_fits_the_buffer() {
    let far = Timestamp::from_millis(u64::MAX);
    let verification = Verification {
        salt: Salt([255; 16]),
        length: CodeLength::SIX,
        expires: far,
        sending: 255,
        sending_until: far,
        sent: true,
        postponed: true,
        held: Some(Held { by: GatewayName::Http, channel: Channel::WhatsApp }),
        checking_until: far,
        counted: Some(Counted {
            begun: far,
            last_send: far,
            channel: Channel::WhatsApp,
            sends: 255,
            wrong: 255,
            unnamed: 255,
            spent: true,
            offset: u64::MAX,
        }),
    };
    let tally = Tally { named: 255, slow_until: far };
    let state = NumberState::Open { failures: 255, keep_until: far, tally, verification: Some(verification) };
    let record = encode(&state).expect("something to keep");
    assert_eq!(envelope::open(&record).expect("a record").1.len(), LARGEST);
}

#[test]
fn a_fresh_number_leaves_no_record() {
    assert!(encode(&NumberState::Fresh).is_none());
}

#[test]
fn a_record_of_a_newer_program_is_refused_and_says_so() {
    let error = decode(&envelope::seal(9, b"from the future")).expect_err("a newer version");
    assert!(matches!(error, StateRecordError::Version(9)), "{error}");
}

#[test]
fn a_number_that_an_enumeration_does_not_have_is_damage() {
    let verification = Verification {
        salt: Salt([1; 16]),
        length: CodeLength::SIX,
        expires: Timestamp::EPOCH,
        sending: 0,
        sending_until: Timestamp::EPOCH,
        sent: false,
        postponed: false,
        held: Some(Held { by: GatewayName::Simulator, channel: Channel::Sms }),
        checking_until: Timestamp::EPOCH,
        counted: None,
    };
    let tally = Tally::NONE;
    let state = NumberState::Open {
        failures: 0,
        keep_until: Timestamp::EPOCH,
        tally,
        verification: Some(verification),
    };
    let body = postcard::to_allocvec(&state).expect("encoded");
    let spoiled = |at: usize| {
        let mut body = body.clone();
        assert_eq!(body[at], 0, "a gateway or a channel");
        body[at] = 200;
        decode(&envelope::seal(VERSION, &body))
    };
    // Behind them stand the end of the asking and the counts, a byte each.
    for at in [body.len() - 3, body.len() - 4] {
        assert!(matches!(spoiled(at), Err(StateRecordError::Contents(_))));
    }
}
