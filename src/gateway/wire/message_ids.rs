//! Ids of messages: the provider's, if it gives one that can be passed on, else one of ours.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::clock::Clock;
use crate::domain::GatewayName;

/// Longest id taken over from an answer: twice a UUID leaves room, and records stay small.
const ID_MAX: usize = 72;

/// The id as text, if it can go into logs, records and answers as it is.
pub(in crate::gateway) fn usable_id(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&b);
    ((1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

/// An id in JSON: a text or a whole number.
pub(in crate::gateway) fn id_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => usable_id(text),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Makes ids for providers that give none: unique within a run, and between runs as long as no
/// two of them start in the same millisecond.
pub(in crate::gateway) struct OwnIds {
    prefix: String,
    given: AtomicU64,
}

impl OwnIds {
    pub(in crate::gateway) fn new(gateway: GatewayName, clock: &dyn Clock) -> Self {
        let prefix = format!("{gateway}-{:x}", clock.now().as_millis());
        Self { prefix, given: AtomicU64::new(0) }
    }

    pub(in crate::gateway) fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.given.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    #[test]
    fn an_id_that_could_do_harm_elsewhere_is_not_taken_over() {
        for id in ["1234567890", "a-b_c.d:e=f+g/h@i", &"x".repeat(72)] {
            assert_eq!(usable_id(id).as_deref(), Some(id));
        }
        for id in ["", " ", "a b", "<script>", "a\nb", "\"", "ä", &"x".repeat(73)] {
            assert_eq!(usable_id(id), None, "{id}");
        }
    }

    #[test]
    fn numbers_are_ids_too() {
        assert_eq!(id_in(&json!(42)).as_deref(), Some("42"));
        assert_eq!(id_in(&json!("42")).as_deref(), Some("42"));
        for value in [json!(null), json!(true), json!(-1), json!(1.5), json!([1]), json!({"a": 1}), json!("")]
        {
            assert_eq!(id_in(&value), None, "{value}");
        }
    }

    #[test]
    fn our_own_ids_differ() {
        let clock = ManualClock::starting_at(Timestamp::from_millis(255));
        let ids = OwnIds::new(GatewayName::Mada, &clock);
        assert_eq!([ids.next(), ids.next()], ["Mada-ff-1", "Mada-ff-2"]);
        assert!(usable_id(&ids.next()).is_some());
    }
}
