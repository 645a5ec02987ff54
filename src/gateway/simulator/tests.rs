use super::*;
use crate::clock::ManualClock;
use crate::domain::CodeLength;

#[tokio::test]
async fn a_message_is_in_the_inbox_once_it_is_accepted() {
    let (simulator, clock) = simulator();
    clock.advance(Duration::from_secs(5));
    let accepted = simulator.send(&message(ANNA, 7)).await.expect("accepted");

    let inbox = simulator.messages(None, 10);
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0].id, accepted.message_id);
    assert_eq!(inbox[0].to.as_u64(), ANNA);
    assert_eq!(&*inbox[0].text, "Your code is 000007");
    assert_eq!(inbox[0].code.expose(), "000007");
    assert_eq!(inbox[0].channel, Channel::Sms);
    assert_eq!(inbox[0].received, Timestamp::from_millis(1_005_000));
    assert_eq!(inbox[0].valid_for, Duration::from_secs(30));
    assert!(simulator.readiness().is_ok());
}

#[tokio::test]
async fn the_newest_message_comes_first_and_a_number_sees_its_own() {
    let (simulator, _clock) = simulator();
    for (to, code) in [(ANNA, 1), (BERT, 2), (ANNA, 3)] {
        simulator.send(&message(to, code)).await.expect("accepted");
    }
    assert_eq!(codes(&simulator, None, 10), ["000003", "000002", "000001"]);
    assert_eq!(codes(&simulator, PhoneNumber::from_u64(ANNA), 10), ["000003", "000001"]);
    assert_eq!(codes(&simulator, PhoneNumber::from_u64(BERT), 10), ["000002"]);
    assert_eq!(codes(&simulator, PhoneNumber::from_u64(1), 10), [""; 0]);
    assert_eq!(codes(&simulator, None, 1), ["000003"]);
}

#[tokio::test]
async fn only_the_last_messages_are_kept() {
    let (simulator, _clock) = simulator();
    for code in 0..1_003 {
        simulator.send(&message(ANNA, code)).await.expect("accepted");
    }
    let kept = codes(&simulator, None, usize::MAX);
    assert_eq!(kept.len(), 1_000);
    assert_eq!((kept[0].as_str(), kept[999].as_str()), ("001002", "000003"));
}

#[tokio::test]
async fn every_id_looks_like_twilios_and_differs_from_the_others() {
    let (first_run, clock) = simulator();
    clock.advance(Duration::from_millis(1));
    let second_run = Simulator::new(clock);
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        for simulator in [&first_run, &second_run] {
            let id = simulator.send(&message(ANNA, 1)).await.expect("accepted").message_id;
            let hex = id.strip_prefix("SM").expect("SM in front");
            assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            assert!(ids.insert(id), "an id came twice");
        }
    }
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
        channel: Channel::Sms,
        text: format!("Your code is {}", code.expose()),
        code,
        valid_for: Duration::from_secs(30),
        locale: None,
        callback: None,
        sender_name: None,
        send_digits: None,
    }
}

fn codes(simulator: &Simulator, to: Option<PhoneNumber>, limit: usize) -> Vec<String> {
    simulator.messages(to, limit).iter().map(|m| m.code.expose().to_owned()).collect()
}
