use super::*;
use crate::Subject;
use onceward_core::domain::ServiceId;

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn when_a_write_expects_another_revision_it_gets_the_present_state() {
    let store = MemoryStore::shared();
    let first = revision(&store.cas(vec![put(1, Revision::ABSENT, "a")], LONG).await);
    let second = revision(&store.cas(vec![put(1, first, "b")], LONG).await);
    assert!(second > first);
    let answer = store.cas(vec![put(1, first, "c"), put(2, first, "d")], LONG).await.unwrap();
    let present = Some((second, Bytes::from_static(b"b")));
    assert_eq!(answer, [Outcome::Conflict(present), Outcome::Conflict(None)]);
    let removed = store.cas(vec![Write { put: None, ..put(1, second, "") }], LONG).await;
    assert_eq!(removed, Ok(vec![Outcome::Applied(Revision::ABSENT)]));
    assert!(store.snapshot().is_empty());
    assert_eq!(store.load(&[key(1)], LONG).await, Ok(vec![None]));
}

#[tokio::test]
async fn when_faults_are_queued_the_next_commits_meet_them_in_order() {
    let store = MemoryStore::new();
    store.fail_next([Fault::Unavailable, Fault::UnknownNotApplied, Fault::UnknownApplied, Fault::Conflict]);
    let write = || vec![put(1, Revision::ABSENT, "a")];
    assert!(matches!(store.cas(write(), LONG).await, Err(StoreError::Unavailable(_))));
    assert!(store.health().is_err());
    assert!(matches!(store.cas(write(), LONG).await, Err(StoreError::Unknown(_))));
    assert_eq!((store.commits(), store.snapshot().len()), (0, 0));
    assert!(matches!(store.cas(write(), LONG).await, Err(StoreError::Unknown(_))));
    assert_eq!((store.commits(), store.snapshot().len()), (1, 1));
    let conflict = store.cas(vec![put(2, Revision::ABSENT, "b")], LONG).await;
    assert_eq!(conflict, Ok(vec![Outcome::Conflict(None)]));
    store.cas(vec![put(2, Revision::ABSENT, "b")], LONG).await.unwrap();
    assert_eq!((store.commits(), store.health()), (2, Ok(())));
}

#[tokio::test]
async fn when_commits_are_held_they_are_in_flight_until_released() {
    let store = MemoryStore::new();
    store.hold();
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.cas(vec![put(1, Revision::ABSENT, "a")], LONG).await }
    });
    store.waiting(1).await;
    assert!(store.snapshot().is_empty());
    store.release();
    assert!(commit.await.unwrap().is_ok());
    assert_eq!(store.snapshot().len(), 1);
}

#[tokio::test]
async fn when_a_commit_hangs_it_is_unknown_and_not_applied() {
    let store = MemoryStore::new();
    store.fail_next([Fault::Hang, Fault::Hang]);
    let given_up = store.cas(vec![put(1, Revision::ABSENT, "a")], Duration::ZERO).await;
    assert!(matches!(given_up, Err(StoreError::Unknown(_))));
    assert!(store.snapshot().is_empty());
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.cas(vec![put(1, Revision::ABSENT, "a")], LONG).await }
    });
    store.waiting(1).await;
    store.release();
    assert!(commit.await.unwrap().is_ok());
}

#[tokio::test]
async fn when_the_store_restarts_what_was_in_flight_is_never_applied() {
    let store = MemoryStore::new();
    store.cas(vec![put(1, Revision::ABSENT, "a")], LONG).await.unwrap();
    store.hold();
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.cas(vec![put(2, Revision::ABSENT, "b")], LONG).await }
    });
    store.waiting(1).await;
    let restarted = store.reopen();
    store.release();
    assert!(matches!(commit.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert_eq!(restarted.snapshot().keys().copied().collect::<Vec<_>>(), [key(1)]);
    restarted.cas(vec![put(2, Revision::ABSENT, "c")], LONG).await.unwrap();
    assert_eq!(restarted.snapshot().len(), 2);
}

#[tokio::test]
async fn when_the_store_is_scanned_every_record_is_visited() {
    let store = MemoryStore::new();
    store.cas(vec![put(1, Revision::ABSENT, "a"), put(2, Revision::ABSENT, "b")], LONG).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let visitor = seen.clone();
    let visit: Visitor = Box::new(move |key, _, record| visitor.lock().unwrap().push((key, record.to_vec())));
    store.scan(Kind::Number, visit).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(key(1), b"a".to_vec()), (key(2), b"b".to_vec())]);
    store.close().await.unwrap();
    let closed = store.cas(vec![put(3, Revision::ABSENT, "c")], LONG).await;
    assert!(matches!(closed, Err(StoreError::Unavailable(_))));
}

fn key(subject: u64) -> Key {
    Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(subject) }
}

fn put(subject: u64, expect: Revision, record: &'static str) -> Write {
    let put = Some(Bytes::from_static(record.as_bytes()));
    Write { key: key(subject), expect, put, gc_after: Timestamp::from_millis(1) }
}

fn revision(answer: &Result<Vec<Outcome>, StoreError>) -> Revision {
    match answer.as_deref() {
        Ok([Outcome::Applied(revision)]) => *revision,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn when_a_commit_is_torn_some_writes_are_applied_and_nobody_learns_which() {
    let store = MemoryStore::new();
    store.fail_next([Fault::Torn(0b101)]);
    let writes = [1, 2, 3].map(|n| put(n, Revision::ABSENT, "a"));
    let answer = store.cas(writes.to_vec(), LONG).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))));
    let kept: Vec<Key> = store.snapshot().into_keys().collect();
    assert_eq!(kept, [key(1), key(3)]);
}
