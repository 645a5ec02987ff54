//! An attacker who knows a number, and not the id of its verification, cannot stop its owner where the lockout grows.
//! Where a service has a fixed lockout, as the contract's has, an attacker can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::support::documented::locked;
use crate::support::{Setup, Shifted, V2, World, sid, told, wrong};

/// More than a number may have in flight.
const ATTACKERS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_guesses_at_a_number_does_not_stop_its_owner() {
    let world = World::of(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[("Lockout", "growing")]).await;
    let number = world.number();
    let flood = Flood::of(&v2, &service, &number);
    for _ in 0..5 {
        let begun = v2.begins(&service, &number).await;
        assert_eq!(told(&begun), (201, "pending".to_owned()), "{}", begun.text());
        let (owners, code) = (sid(&begun), world.twilio.code_for(&number));
        flood.goes_on_for(300).await;
        // The owner submits a wrong code too.
        assert_eq!(told(&v2.checks(&service, &owners, &wrong(&code)).await), (200, "pending".to_owned()));
        flood.goes_on_for(100).await;
        assert_eq!(told(&v2.checks(&service, &owners, &code).await), (200, "approved".to_owned()));
    }
    let answers = flood.ends().await;
    assert!(answers.guesses > 0, "some of the guesses were looked at: {answers:?}");
    assert!(answers.refused > answers.guesses, "most were not: {answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_over_hours_do_not_stop_the_owner_either() {
    let (clock, setup) = Shifted::over(V2::account(Setup::new()));
    let mut world = World::of(setup).await;
    let service = V2::of(&world).service(&[("Lockout", "growing")]).await;
    let number = world.number();
    let mut guesses = 0;
    for hour in 1..=10_u8 {
        let v2 = V2::of(&world);
        let begun = v2.begins(&service, &number).await;
        assert_eq!(told(&begun), (201, "pending".to_owned()), "hour {hour}: {}", begun.text());
        let (owners, code) = (sid(&begun), world.twilio.code_for(&number));
        guesses += guess_until_refused(&v2, &service, &number, &code).await;
        // The owner checks a code in every fifth hour only.
        if hour % 5 == 0 {
            // The attacker must wait, the owner need not.
            assert_eq!(told(&v2.checks_number(&service, &number, &code).await), (429, "60202".to_owned()));
            assert_eq!(told(&v2.checks(&service, &owners, &code).await), (200, "approved".to_owned()));
        }
        // Hours later, after a restart.
        world.server.signal(Signal::TERM);
        world.server.ended().await;
        clock.by(i64::from(hour) * 3_700);
        world.server = world.setup.start().await;
    }
    assert!(guesses >= 18, "{guesses} guesses were looked at");
}

#[tokio::test]
async fn a_fixed_lockout_locks_a_number_for_all_clients_as_the_contract_says() {
    let world = World::of(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    for (fixed, service) in
        [(false, v2.default_service().await), (true, v2.service(&[("Lockout", "1800")]).await)]
    {
        let number = world.number();
        let begun = v2.begins(&service, &number).await;
        let (owners, code) = (sid(&begun), world.twilio.code_for(&number));
        for _ in 0..4 {
            assert_eq!(v2.checks_number(&service, &number, &wrong(&code)).await.status(), 200);
        }
        let last = v2.checks_number(&service, &number, &wrong(&code)).await;
        assert_eq!(told(&last), (200, "max_attempts_reached".to_owned()));
        v2.has_no_check_left(&service, &number, &owners, &code).await;
        if !fixed {
            world.send(&number).await.expects(locked(&number, 30));
            world.verify(&number, &code).await.expects(locked(&number, 30));
        }
    }
}

async fn guess_until_refused(v2: &V2, service: &str, number: &str, code: &str) -> u64 {
    let mut guesses = 0;
    loop {
        let answer = v2.checks_number(service, number, &wrong(code)).await;
        match answer.status() {
            200 => guesses += 1,
            429 => return guesses,
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

/// Guesses at a number, from many connections, until they are told to end.
struct Flood {
    shared: Arc<Shared>,
    attackers: JoinSet<Guesses>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    answered: AtomicU64,
    more: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Guesses {
    guesses: u64,
    refused: u64,
}

impl Flood {
    fn of(v2: &V2, service: &str, number: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            let (v2, service, number) = (v2.clone(), service.to_owned(), number.to_owned());
            attackers.spawn(attack(shared.clone(), v2, service, number));
        }
        Self { shared, attackers }
    }

    /// Waits until the server has answered this many more guesses.
    async fn goes_on_for(&self, answers: u64) {
        let enough = self.shared.answered.load(Ordering::SeqCst) + answers;
        crate::support::soon("a flood", async {
            while self.shared.answered.load(Ordering::SeqCst) < enough {
                self.shared.more.notified().await;
            }
        })
        .await;
    }

    async fn ends(self) -> Guesses {
        self.shared.ends.store(true, Ordering::SeqCst);
        let all = self.attackers.join_all().await.into_iter();
        all.fold(Guesses::default(), |sum, one| Guesses {
            guesses: sum.guesses + one.guesses,
            refused: sum.refused + one.refused,
        })
    }
}

async fn attack(shared: Arc<Shared>, v2: V2, service: String, number: String) -> Guesses {
    let mut told = Guesses::default();
    while !shared.ends.load(Ordering::SeqCst) {
        // Longer than any code here: no guess is right by chance.
        match v2.checks_number(&service, &number, "0000000000").await.status() {
            200 => told.guesses += 1,
            404 | 429 => told.refused += 1,
            other => panic!("a guess got {other}"),
        }
        shared.answered.fetch_add(1, Ordering::SeqCst);
        shared.more.notify_one();
    }
    told
}
