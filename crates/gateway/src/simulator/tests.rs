//! The simulator keeps messages and reports them as a provider would.

use std::time::Duration;

use super::*;
use crate::ErrorClass;
use crate::clock::ManualClock;
use crate::domain::CodeLength;
use crate::double;

#[tokio::test]
async fn the_last_thousand_messages_are_kept_the_newest_first() {
    let (simulator, _clock) = simulator();
    let mut ids = std::collections::HashSet::new();
    for code in 0..1_003 {
        let to = if code % 2 == 0 { ANNA } else { BERT };
        let id = simulator.send(&message(to, code)).await.expect("accepted").message_id;
        let hex = id.strip_prefix("SM").expect("SM in front, as in ids of Twilio");
        assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert!(ids.insert(id), "an id came twice");
    }
    let kept = codes(&simulator, None, usize::MAX);
    assert_eq!((kept.len(), kept[0].as_str(), kept[999].as_str()), (1_000, "001002", "000003"));
    assert_eq!(codes(&simulator, PhoneNumber::from_u64(ANNA), 2), ["001002", "001000"]);
    assert_eq!(codes(&simulator, PhoneNumber::from_u64(1), 10), [""; 0]);
}

#[tokio::test]
async fn a_message_to_a_number_with_a_fault_is_refused_with_its_error() {
    let (simulator, _clock) = simulator();
    for (to, code, class) in [
        (15_005_550_001, 21_211, ErrorClass::BadNumber),
        (15_005_550_002, 21_612, ErrorClass::NotReachableHere),
        (15_005_550_003, 21_408, ErrorClass::Configuration),
        (15_005_550_004, 21_610, ErrorClass::OptedOut),
        (15_005_550_009, 21_614, ErrorClass::NotReachableHere),
    ] {
        let error = simulator.send(&message(to, 1)).await.expect_err("refused");
        assert_eq!((error.code, error.class, error.whole_gateway), (Some(code), class, false));
    }
    let call = OutgoingMessage { channel: Channel::Call, ..message(15_005_550_009, 1) };
    simulator.send(&call).await.expect("a landline takes calls");
    assert_eq!(simulator.messages(None, 10).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_never_answers() {
    let silent = message(15_005_550_011, 1);
    let (simulator, _clock) = simulator();
    let answer = tokio::time::timeout(Duration::from_secs(3600), simulator.send(&silent)).await;
    assert!(answer.is_err());
}

const ANNA: u64 = 14_155_552_671;
const BERT: u64 = 491_711_234_567;

fn simulator() -> (Simulator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000_000)));
    (Simulator::new(clock.clone()), clock)
}

fn message(to: u64, code: u64) -> OutgoingMessage {
    let code = Code::from_value(code, CodeLength::SIX);
    OutgoingMessage {
        to: PhoneNumber::from_u64(to).expect("a number"),
        text: format!("Your code is {}", code.expose()),
        code,
        valid_for: Duration::from_secs(30),
        ..double::message("")
    }
}

fn codes(simulator: &Simulator, to: Option<PhoneNumber>, limit: usize) -> Vec<String> {
    simulator.messages(to, limit).iter().map(|m| m.code.expose().to_owned()).collect()
}
