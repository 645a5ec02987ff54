//! The shards as actors, over a gateway that makes and holds its codes itself.

use std::collections::{HashMap, HashSet};
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::actors::{World, ask, until, wrong};
use super::world::number;
use crate::config::Bounds;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};
use crate::gateway::{
    Accepted, BoxFuture, Checker, ErrorClass, Gateway, GatewayError, OutgoingMessage, Verdict,
};
use crate::shard::{CheckAnswer, Refusal, SendAnswer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_parallel_right_codes_one_is_approved_and_the_gateway_is_never_asked_twice_at_once() {
    let (world, holder) = world().await;
    for _ in 0..20 {
        assert!(matches!(ask(world.verifier.clone(), 1).await, Ok(SendAnswer::Sent { .. })));
        let answers = crowd(&world, 40, &right()).await;
        let approved = answers.iter().filter(|answer| **answer == Ok(CheckAnswer::Approved)).count();
        let late = Ok(CheckAnswer::Wrong { attempts_left: 5, live: false });
        assert_eq!((approved, answers.iter().filter(|answer| **answer == late).count()), (1, 39));
    }
    assert_eq!(holder.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_parallel_wrong_codes_exactly_five_are_looked_at() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    let answers = crowd(&world, 40, &other()).await;
    for left in [4, 3, 2, 1] {
        assert_eq!(answers.iter().filter(|answer| **answer == Ok(wrong(left))).count(), 1);
    }
    let locked_now = |answer: &&Result<_, _>| matches!(answer, Ok(CheckAnswer::LockedNow { .. }));
    let locked = |answer: &&Result<_, _>| matches!(answer, Ok(CheckAnswer::Locked { .. }));
    assert_eq!(answers.iter().filter(locked_now).count(), 1);
    assert_eq!(answers.iter().filter(locked).count(), 35);
    assert_eq!((holder.looked_at(), holder.most_at_once()), (5, 1));
}

#[tokio::test]
async fn a_holder_that_hangs_holds_up_its_own_number_only() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    ask(world.verifier.clone(), 2).await.expect("sent");
    holder.will(Mood::Hang, 1);
    let hanging = tokio::spawn(checks(world.verifier.clone(), 1, right()));
    until(|| holder.looked_at() == 1).await;
    let behind = tokio::spawn(checks(world.verifier.clone(), 1, right()));
    assert_eq!(world.checks(2, &right()).await, Ok(CheckAnswer::Approved));
    assert!(!hanging.is_finished() && !behind.is_finished());
    holder.let_go();
    assert_eq!(hanging.await.expect("no panic"), Ok(CheckAnswer::Approved));
    let late = CheckAnswer::Wrong { attempts_left: 5, live: false };
    assert_eq!(behind.await.expect("no panic"), Ok(late));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_never_answers_is_given_up_after_the_budget_and_the_attempt_counts() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    holder.will(Mood::Hang, 1);
    assert_eq!(world.checks(1, &right()).await, Ok(CheckAnswer::GatewayFailed));
    assert_eq!(world.checks(1, &other()).await, Ok(wrong(3)));
}

#[tokio::test]
async fn a_checker_that_panics_costs_one_attempt_and_nothing_else() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    holder.will(Mood::Panic, 1);
    assert_eq!(world.checks(1, &right()).await, Ok(CheckAnswer::GatewayFailed));
    assert_eq!(world.checks(1, &other()).await, Ok(wrong(3)));
    assert_eq!(world.checks(1, &right()).await, Ok(CheckAnswer::Approved));
    assert_eq!(world.verifier.commands_in_flight(), 0);
}

#[tokio::test]
async fn a_holder_that_cannot_be_reached_costs_no_attempt() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    // One more, and the gateway would count as dead.
    holder.will(Mood::Unreachable, 4);
    for _ in 0..4 {
        assert_eq!(world.checks(1, &right()).await, Ok(CheckAnswer::GatewayFailed));
    }
    assert_eq!(world.checks(1, &other()).await, Ok(wrong(4)));
}

#[tokio::test]
async fn a_stop_waits_for_a_check_that_is_being_asked() {
    let (world, holder) = world().await;
    ask(world.verifier.clone(), 1).await.expect("sent");
    holder.will(Mood::Hang, 1);
    let hanging = tokio::spawn(checks(world.verifier.clone(), 1, right()));
    until(|| holder.looked_at() == 1).await;
    let verifier = world.verifier.clone();
    let stop = tokio::spawn(async move { verifier.stop().await });
    tokio::task::yield_now().await;
    assert!(!stop.is_finished());
    holder.let_go();
    stop.await.expect("no panic");
    assert_eq!(hanging.await.expect("no panic"), Ok(CheckAnswer::Approved));
}

async fn world() -> (World, Arc<Holder>) {
    let holder = Arc::new(Holder::default());
    (World::over(holder.clone(), Bounds::default()).await, holder)
}

fn right() -> Code {
    Code::parse("4711").expect("a code")
}

fn other() -> Code {
    Code::parse("0815").expect("a code")
}

async fn checks(verifier: crate::shard::Verifier, n: u64, code: Code) -> Result<CheckAnswer, Refusal> {
    let key = number(n);
    let request = crate::shard::CheckRequest { service: key.service, number: key.number, code: Some(code) };
    verifier.check(request).await
}

async fn crowd(world: &World, size: usize, code: &Code) -> Vec<Result<CheckAnswer, Refusal>> {
    let checks = (0..size).map(|_| tokio::spawn(checks(world.verifier.clone(), 1, code.clone())));
    let mut answers = Vec::new();
    for check in checks.collect::<Vec<_>>() {
        answers.push(check.await.expect("no panic"));
    }
    answers
}

/// What a holder does when it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Hang,
    Panic,
    Unreachable,
}

/// A provider that makes codes, all of them 4711, and checks them.
struct Holder {
    live: Mutex<HashSet<PhoneNumber>>,
    moods: Mutex<HashMap<&'static str, usize>>,
    gate: Semaphore,
    looked_at: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Default for Holder {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            moods: Mutex::default(),
            gate: Semaphore::new(0),
            looked_at: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }
    }
}

impl Mood {
    const fn name(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Panic => "panic",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Holder {
    fn will(&self, mood: Mood, times: usize) {
        self.moods.lock().expect("not poisoned").insert(mood.name(), times);
    }

    fn is(&self, mood: Mood) -> bool {
        let mut moods = self.moods.lock().expect("not poisoned");
        let Some(times) = moods.get_mut(mood.name()).filter(|times| **times > 0) else { return false };
        *times -= 1;
        true
    }

    fn let_go(&self) {
        self.gate.add_permits(1);
    }

    fn looked_at(&self) -> usize {
        self.looked_at.load(Ordering::SeqCst)
    }

    fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    async fn look(&self, to: PhoneNumber, code: &Code) -> Result<Verdict, GatewayError> {
        if self.is(Mood::Unreachable) {
            return Err(GatewayError {
                gateway: GatewayName::TwilioVerify,
                class: ErrorClass::Retry { after: None },
                code: None,
                detail: "nobody answers".to_owned(),
                whole_gateway: true,
            });
        }
        self.looked_at.fetch_add(1, Ordering::SeqCst);
        if self.is(Mood::Panic) {
            panic_any("a fault in a checker");
        }
        if self.is(Mood::Hang) {
            self.gate.acquire().await.expect("never closed").forget();
        }
        tokio::task::yield_now().await;
        let right = code.expose() == right().expose();
        let mut live = self.live.lock().expect("not poisoned");
        Ok(match (live.contains(&to), right) {
            (false, _) => Verdict::NotLive,
            (true, false) => Verdict::Wrong,
            (true, true) => {
                live.remove(&to);
                Verdict::Approved
            }
        })
    }
}

impl Gateway for Holder {
    fn name(&self) -> GatewayName {
        GatewayName::TwilioVerify
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        self.live.lock().expect("not poisoned").insert(message.to);
        Box::pin(async { Ok(Accepted { message_id: "VE1".to_owned() }) })
    }

    fn checker(&self) -> Option<&dyn Checker> {
        Some(self)
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Checker for Holder {
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        _channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let _left = Left(&self.at_once);
            self.look(to, code).await
        })
    }
}

/// Notes that a check is over, however it ended.
struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
