//! The task itself, with a book that only adds, and panics on demand.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{START, World, secs};
use crate::domain::{ServiceId, Timestamp};
use crate::limit::desk::{Around, Book, Core, Desk, PageError, Pages, Shelf};
use crate::store::{Fault, Key, Kind, Outcome, Revision, StoreError, Subject, record};

/// Sums.
struct Sums;

enum Request {
    Add(u64, Option<u64>, oneshot::Sender<u64>),
    /// Dropped with the request, which its other end notices.
    Panic {
        _reply: oneshot::Sender<u64>,
    },
}

const fn key(number: u64) -> Key {
    Key { kind: Kind::Counter, service: ServiceId::DEFAULT, subject: Subject(number) }
}

impl Book for Sums {
    const KIND: Kind = Kind::Counter;
    type Page = u64;
    type Request = Request;

    fn read(sealed: &[u8]) -> Result<u64, PageError> {
        let (_, body) = record::open(sealed)?;
        Ok(serde_json::from_slice(body)?)
    }

    fn write(page: &u64) -> Bytes {
        record::seal(1, page.to_string().as_bytes())
    }

    fn ends(_page: &u64) -> Timestamp {
        START.plus(secs(60))
    }

    fn weight(_page: &u64) -> usize {
        1
    }

    fn keys(request: &Request) -> Vec<Key> {
        match request {
            Request::Add(number, ..) => vec![key(*number)],
            Request::Panic { .. } => Vec::new(),
        }
    }

    fn may_be_decided_twice(_request: &Request) -> bool {
        true
    }

    fn decide(&mut self, request: &mut Request, pages: &mut Pages<'_, Self>, _now: Timestamp) {
        match request {
            Request::Add(number, decided, _) => {
                let key = key(*number);
                if !pages.has_room_for(&[key], 0) {
                    return;
                }
                let sum = pages.page(&key).map_or(1, |sum| sum + 1);
                let strict = pages.strict(&key).map_or(1, |sum| sum + 1);
                pages.put(key, Some(sum), Some(strict));
                *decided = Some(sum);
            }
            Request::Panic { .. } => panic!("on demand"),
        }
    }

    fn undo(&mut self, _request: &mut Request, _lost: &[Key], _pages: &mut Pages<'_, Self>, _now: Timestamp) {
    }

    fn leave(&mut self, request: Request) {
        if let Request::Add(_, Some(sum), reply) = request {
            let _ = reply.send(sum);
        }
    }

    fn fail(&mut self, request: Request) {
        drop(request);
    }
}

fn add(number: u64) -> (Request, oneshot::Receiver<u64>) {
    let (reply, answer) = oneshot::channel();
    (Request::Add(number, None, reply), answer)
}

fn panic_on_demand() -> (Request, oneshot::Receiver<u64>) {
    let (reply, answer) = oneshot::channel();
    (Request::Panic { _reply: reply }, answer)
}

async fn desk(world: &World) -> Desk<Sums> {
    let (store, clock) = (Arc::new(world.store.clone()), world.clock.clone());
    let around = Around { store, clock, bounds: world.bounds.clone() };
    Desk::open(around, || Sums).await.expect("a desk")
}

async fn ask(desk: &Desk<Sums>, (request, answer): (Request, oneshot::Receiver<u64>)) -> Option<u64> {
    desk.submit(request);
    answer.await.ok()
}

#[tokio::test]
async fn after_a_panic_it_goes_on_from_what_is_durable() {
    let world = World::new();
    let desk = desk(&world).await;
    assert_eq!(ask(&desk, add(1)).await, Some(1));
    assert_eq!(ask(&desk, panic_on_demand()).await, None, "refused, and nothing more");
    assert_eq!(ask(&desk, add(1)).await, Some(2));
    assert_eq!(ask(&desk, panic_on_demand()).await, None);
    assert_eq!(ask(&desk, add(1)).await, Some(3), "as often as it takes");
}

#[tokio::test]
async fn what_is_on_its_way_to_the_disk_during_a_panic_is_refused_and_counts() {
    let world = World::new();
    let desk = desk(&world).await;
    world.store.hold();
    let (first, answer) = add(1);
    desk.submit(first);
    world.store.waiting(1).await;
    // What is decided at once during a commit panics at once.
    assert_eq!(ask(&desk, panic_on_demand()).await, None);
    assert_eq!(answer.await.ok(), None);
    let (second, answer) = add(1);
    desk.submit(second);
    world.store.release();
    assert_eq!(answer.await, Ok(2));
    assert_eq!(
        world.store.commits(),
        2,
        "the first one reached the disk before the store was read: no conflict"
    );
}

#[tokio::test]
async fn the_task_finishes_what_it_has_when_the_last_handle_goes() {
    let world = World::new();
    let desk = desk(&world).await;
    world.store.hold();
    let (first, first_answer) = add(1);
    desk.submit(first);
    world.store.waiting(1).await;
    let (second, second_answer) = add(1);
    desk.submit(second);
    drop(desk);
    world.store.release();
    assert_eq!((first_answer.await, second_answer.await), (Ok(1), Ok(2)));
}

/// A desk without its task, and a disk that says what it is told to say.
fn core(records: usize) -> Core<Sums> {
    Core::new(Sums, Shelf::with_room_for(records, 1_000))
}

fn commit(core: &mut Core<Sums>, revision: u64) {
    let writes = core.take_commit().expect("a commit");
    let outcomes = writes.iter().map(|_| Outcome::Applied(Revision(revision))).collect();
    core.committed(Ok(outcomes), START);
    core.go(START);
}

#[test]
fn what_collects_during_a_commit_is_one_batch_with_one_write_for_each_record() {
    let mut core = core(10);
    core.submit(add(1).0, START);
    core.go(START);
    for number in [1, 1, 2, 3, 2] {
        core.submit(add(number).0, START);
        core.go(START);
    }
    commit(&mut core, 1);
    let writes = core.take_commit().expect("the next batch");
    let keys: BTreeSet<Key> = writes.iter().map(|write| write.key).collect();
    assert_eq!((writes.len(), keys.len()), (3, 3));
    assert_eq!(writes[0].expect, Revision(1), "it rests on what the first one wrote");
    assert!(core.take_commit().is_none(), "one batch is in flight at a time");
}

#[test]
fn when_nothing_of_a_batch_was_applied_all_is_as_it_was() {
    let mut core = core(10);
    let (request, mut answer) = add(1);
    core.submit(request, START);
    core.go(START);
    core.take_commit().expect("a commit");
    core.committed(Err(StoreError::Unavailable("no disk".into())), START);
    assert!(answer.try_recv().is_err());
    assert_eq!(core.records(), 0);
}

#[test]
fn when_nobody_knows_what_was_applied_the_stricter_state_is_kept_and_written_again_before_it_is_told() {
    let mut core = core(10);
    core.submit(add(1).0, START);
    core.go(START);
    core.take_commit().expect("a commit");
    core.committed(Err(StoreError::Unknown("no answer".into())), START);
    let (request, mut answer) = add(1);
    core.submit(request, START);
    core.go(START);
    commit(&mut core, 7);
    assert_eq!(answer.try_recv(), Ok(2));
}

#[test]
fn when_another_writer_came_first_the_request_is_decided_again_on_what_that_one_left() {
    let mut core = core(10);
    let (request, mut answer) = add(1);
    core.submit(request, START);
    core.go(START);
    core.take_commit().expect("a commit");
    let present = Some((Revision(9), Sums::write(&41)));
    core.committed(Ok(vec![Outcome::Conflict(present)]), START);
    core.go(START);
    let writes = core.take_commit().expect("the second try");
    assert_eq!(writes[0].expect, Revision(9));
    core.committed(Ok(vec![Outcome::Applied(Revision(10))]), START);
    assert_eq!(answer.try_recv(), Ok(42));
}

#[tokio::test]
async fn when_another_writer_always_comes_first_the_request_is_refused() {
    let world = World::new();
    let desk = desk(&world).await;
    world.store.fail_next([Fault::Conflict; 5]);
    assert_eq!(ask(&desk, add(1)).await, None);
    assert_eq!(ask(&desk, add(1)).await, Some(1));
}

#[test]
fn records_in_a_batch_count_against_the_room_and_ended_ones_are_swept_in_steps() {
    let mut core = core(2);
    for number in 1..=3 {
        core.submit(add(number).0, START);
    }
    core.go(START);
    assert_eq!(core.take_commit().map(|writes| writes.len()), Some(2));
    core.committed(Ok(vec![Outcome::Applied(Revision(1)); 2]), START);
    assert_eq!(core.records(), 2);
    core.sweep(10, START.plus(secs(59)));
    assert_eq!(core.records(), 2);
    core.sweep(1, START.plus(secs(60)));
    assert_eq!(core.records(), 1, "a step looks at as many as it is told");
    core.sweep(10, START.plus(secs(60)));
    assert_eq!(core.records(), 0);
}

#[test]
fn a_record_that_the_batch_has_begun_anew_is_not_swept_to_make_room_for_another() {
    let mut core = core(1);
    core.submit(add(1).0, START);
    core.go(START);
    commit(&mut core, 1);
    let later = START.plus(secs(60));
    core.submit(add(1).0, later);
    core.submit(add(2).0, later);
    core.go(later);
    let written: Vec<Key> = core.take_commit().expect("a commit").iter().map(|write| write.key).collect();
    assert_eq!(written, [key(1)]);
}
