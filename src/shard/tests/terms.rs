//! Records whose times nobody can vouch for, a sentence each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::domain::{CodeLength, PhoneNumber, ServiceId, Timestamp};
use crate::engine::{Lockout, NumberState, Policy, SendRules};
use crate::shard::Policies;
use crate::shard::{SendOptions, keep_within, record};
use crate::store::{Kind, MemoryStore, Revision, Store, Write};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const TERM: Duration = Duration::from_secs(1_800);

#[tokio::test]
async fn however_many_records_outlast_their_term_all_are_shortened() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let far = NOW.plus(Duration::from_secs(1_000_000));
    let soon = NOW.plus(Duration::from_secs(1));
    // More than are remembered at once, with some between them that are as they should be.
    let untils: Vec<Timestamp> = (0..20).map(|n| if n % 3 == 0 { soon } else { far }).collect();
    let writes = (1..).zip(&untils).map(|(digits, until)| locked(digits, *until)).collect();
    store.cas(writes, Duration::from_secs(1)).await.expect("written");
    let policies = Policies::new(Policy {
        max_attempts: 5,
        lockout: TERM,
        kind: Lockout::Fixed,
        sends: SendRules::CONTRACT,
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
    });
    let term = NOW.plus(TERM);

    let shortened = keep_within(&store, &policies, NOW, Duration::from_secs(1)).await.expect("shortened");

    assert_eq!(shortened, 13);
    let expected: Vec<Timestamp> = untils.iter().map(|until| *until.min(&term)).collect();
    assert_eq!(kept(&store).await, expected);
    let again = keep_within(&store, &policies, NOW, Duration::from_secs(1)).await.expect("nothing to do");
    assert_eq!(again, 0);
}

fn locked(digits: u64, until: Timestamp) -> Write {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    let put = record::encode(&NumberState::Locked { until });
    let key = record::key_of(ServiceId::DEFAULT, number);
    Write { key, expect: Revision::ABSENT, put, gc_after: until }
}

/// When the lockouts end, by number.
async fn kept(store: &Arc<dyn Store>) -> Vec<Timestamp> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    let visit = move |key: crate::store::Key, _, bytes: &[u8]| {
        let ends = record::decode(bytes).expect("a record").ends().expect("a lockout");
        into.lock().expect("nobody panicked").push((key, ends));
    };
    store.scan(Kind::Number, Box::new(visit)).await.expect("read");
    let mut found = std::mem::take(&mut *found.lock().expect("nobody panicked"));
    found.sort_unstable_by_key(|(key, _)| *key);
    found.into_iter().map(|(_, ends)| ends).collect()
}
