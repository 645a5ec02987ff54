//! The simulator keeps messages and reports them as a provider would.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::clock::ManualClock;
use crate::domain::CodeLength;
use crate::double;

#[tokio::test]
async fn the_last_thousand_messages_are_kept_the_newest_first() {
    let (simulator, mut ids) = (simulator(), HashSet::new());
    for code in 0..1_003 {
        let sent = simulator.send(&message(ANNA + code % 2, code)).await;
        let id = sent.expect("accepted").message_id;
        assert!(id.starts_with("SM") && id.len() == 34 && ids.insert(id.clone()), "{id}");
    }
    let codes = |to: Option<u64>, limit| {
        let messages = simulator.messages(to.and_then(PhoneNumber::from_u64), limit);
        messages.iter().map(|message| message.code.expose().to_owned()).collect::<Vec<_>>()
    };
    let kept = codes(None, usize::MAX);
    assert_eq!((kept.len(), kept[0].as_str(), kept[999].as_str()), (1_000, "001002", "000003"));
    assert_eq!(codes(Some(ANNA), 2), ["001002", "001000"]);
}

#[tokio::test(start_paused = true)]
async fn numbers_with_faults_are_those_of_the_reference() {
    let document = include_str!("../../../../docs/reference/gateways.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("* `+")?.split_once("`: "));
    let rows: Vec<_> = rows.filter(|(number, _)| number.starts_with("1500555")).collect();
    assert_eq!(rows.len(), FAULTS.len());
    let simulator = simulator();
    let mut receipts = simulator.receipts().expect("receipts");
    for (number, says) in rows {
        let code = says.split_once('(').and_then(|(_, behind)| behind.split_once(')')?.0.parse().ok());
        let text = message(number.parse().expect("a number"), 1);
        match timeout(Duration::from_secs(3600), simulator.send(&text)).await {
            Err(_) => assert!(says.contains("never answers"), "{number}"),
            Ok(Err(error)) => assert_eq!((error.code, error.whole_gateway), (code, false), "{number}"),
            Ok(Ok(_)) => assert_eq!(receipts.try_recv().expect("a receipt").code, code, "{number}"),
        }
        if says.contains("a call, 201") {
            let call = OutgoingMessage { channel: Channel::Call, ..text };
            simulator.send(&call).await.expect("it takes calls");
        }
    }
    assert_eq!(simulator.messages(None, 10).len(), 2, "the calls");
}

const ANNA: u64 = 14_155_552_670;

fn simulator() -> Simulator {
    Simulator::new(Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000_000))))
}

fn message(to: u64, code: u64) -> OutgoingMessage {
    let to = PhoneNumber::from_u64(to).expect("a number");
    OutgoingMessage { to, code: Code::from_value(code, CodeLength::SIX), ..double::message("") }
}
