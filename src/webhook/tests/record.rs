//! Records, there and back.

use proptest::prelude::*;

use super::super::delivery::{Attempt, Delivery};
use super::super::expected::Expected;
use super::super::record::{Kept, decode, encode_delivery, encode_expected};
use super::*;

fn delivery() -> Delivery {
    let message = MessageAbout {
        attempt: Sid::new(SidKind::Attempt, [3; 16]),
        status: "undelivered".to_owned(),
        error_code: Some(30_003),
    };
    let about = About { message: Some(message), ..about() };
    let kind = EventType::MessageFailed;
    let event = Event { kind, service: SERVICE, verification: ve(1), at: START, about };
    let mut delivery = Delivery::new(EventId::new([4; 16]), event, yw(1), START);
    delivery.tries = 2;
    let answered = Attempt { at: START, took: SECOND, status: Some(500), trouble: None, detail: None };
    let detail = Some("no answer in time".to_owned());
    let silent = Attempt { status: None, trouble: Some(Trouble::TimedOut), detail, ..answered.clone() };
    delivery.attempts = vec![answered, silent];
    delivery
}

#[test]
fn what_was_written_is_read() {
    for state in [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed] {
        let delivery = Delivery { state, ..delivery() };
        let read = decode(SERVICE, &encode_delivery(&delivery)).expect("a delivery");
        assert_eq!(read, Kept::Delivery(Box::new(delivery)));
    }
    let expected = Expected {
        id: EventId::new([5; 16]),
        service: SERVICE,
        verification: ve(2),
        expires: START,
        about: about(),
    };
    let read = decode(SERVICE, &encode_expected(&expected)).expect("an end");
    assert_eq!(read, Kept::Expected(Box::new(expected)));
}

#[test]
fn a_record_is_json_of_this_form() {
    let sealed = encode_delivery(&delivery());
    let (version, body) = crate::store::record::open(&sealed).expect("an envelope");
    let json = concat!(
        r#"{"what":"delivery","id":"evt_04040404040404040404040404040404","type":"message.failed","#,
        r#""at":1700000000000,"verification":"VE01010101010101010101010101010101","to":14155550123,"#,
        r#""channel":"sms","status":"pending","message":{"attempt":"VL03030303030303030303030303030303","#,
        r#""status":"undelivered","error_code":30003},"tags":{"order":"17"},"#,
        r#""webhook":"YW01010101010101010101010101010101","state":"pending","due":1700000000000,"#,
        r#""since":1700000000000,"tries":2,"attempts":[{"at":1700000000000,"took_ms":1000,"status":500},"#,
        r#"{"at":1700000000000,"took_ms":1000,"trouble":"timed_out","detail":"no answer in time"}]}"#,
    );
    assert_eq!((version, String::from_utf8_lossy(body).as_ref()), (1, json));
}

/// Exports carry the JSON by its meaning, and imports write it down in another order.
#[test]
fn a_record_is_read_whatever_the_order_of_its_fields() {
    let delivery = delivery();
    let sealed = encode_delivery(&delivery);
    let (version, body) = crate::store::record::open(&sealed).expect("an envelope");
    let value: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let imported = crate::store::record::seal(version, value.to_string().as_bytes());
    assert_ne!(imported, sealed);
    assert_eq!(decode(SERVICE, &imported).expect("a delivery"), Kept::Delivery(Box::new(delivery)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode(SERVICE, &bytes);
        let _ = decode(SERVICE, &crate::store::record::seal(1, &bytes));
    }
}
