//! Many requests for one number at the same time.

use crate::support::prelude::*;

const CLIENTS: usize = 200;

/// Repetitions of each test, to find a race that is rarely lost.
const ROUNDS: usize = 5;

/// With the default bound on commands for one number, the server refuses some clients for now; with a raised one, the
/// engine decides every request.
const BOUNDS: [Option<usize>; 2] = [None, Some(CLIENTS)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_right_codes_exactly_one_is_approved() {
    for bound in BOUNDS {
        let world = bounded(bound).await;
        for _ in 0..ROUNDS {
            let (number, code) = world.number_with_code().await;
            let answers = crowd(&world, &number, &code).await;
            let approved = answers.iter().filter(|a| a.is(&verified(&number))).count();
            let too_late = answers.iter().filter(|a| a.is(&incorrect(&number, 5))).count();
            assert_eq!((approved, too_late + later(&answers, bound)), (1, CLIENTS - 1), "{bound:?}");
            world.verify(&number, &code).await.expects(incorrect(&number, 5));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_wrong_codes_exactly_five_are_evaluated() {
    for bound in BOUNDS {
        let world = bounded(bound).await;
        for _ in 0..ROUNDS {
            let (number, code) = world.number_with_code().await;
            let answers = crowd(&world, &number, &wrong(&code)).await;
            for trials in [4, 3, 2, 1] {
                let told = answers.iter().filter(|a| a.is(&incorrect(&number, trials))).count();
                assert_eq!(told, 1, "{bound:?}: {trials} trials left is said once");
            }
            let refused = answers.iter().filter(|a| a.is(&locked(&number, 30))).count();
            assert_eq!(refused + later(&answers, bound), CLIENTS - 4, "{bound:?}");
            world.verify(&number, &code).await.expects(locked(&number, 30));
        }
    }
}

async fn bounded(bound: Option<usize>) -> World {
    let setup =
        bound.iter().fold(Setup::new(), |setup, bound| setup.config("bounds.commands-per-number", *bound));
    World::of(setup).await
}

/// The clients that are to try again, which only the default bound makes.
fn later(answers: &[HttpResponse], bound: Option<usize>) -> usize {
    let mut later = 0;
    for answer in answers.iter().filter(|answer| answer.status() == 429) {
        answer.expects_retry_after();
        later += 1;
    }
    assert!(bound.is_none() || later == 0, "{later} were refused");
    later
}

/// The answers as built distinguish the wrong code that locks from a check during the lockout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_wrong_codes_exactly_one_is_told_that_it_locked() {
    // This lockout, rounded down, has 29 minutes left from its first moment on.
    let setup = Setup::new()
        .config("redis-version-answers", "as-built")
        .config("otp-lock-timeout", "29m30s")
        .config("bounds.commands-per-number", CLIENTS);
    let world = World::of(setup).await;
    for _ in 0..ROUNDS {
        let (number, code) = world.number_with_code().await;
        let answers = crowd(&world, &number, &wrong(&code)).await;
        for (message, clients) in [
            ("Incorrect OTP, Try Again", 4),
            ("Incorrect OTP and Max Limit Reached Try after 30 min", 1),
            ("User is prohibted to make any OTP request, Try after 29 minutes", CLIENTS - 5),
        ] {
            let told = answers.iter().filter(|answer| answer.json()["message"] == message).count();
            assert_eq!(told, clients, "{message}");
        }
        assert_eq!(world.verify(&number, &code).await.status(), 403);
    }
}

/// A right code among wrong ones succeeds at most once, and never after the lockout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_and_wrong_codes_give_at_most_one_success_and_no_sixth_guess() {
    let world = bounded(Some(CLIENTS)).await;
    for _ in 0..ROUNDS {
        let (number, code) = world.number_with_code().await;
        let guesses = (0..CLIENTS).map(|i| if i % 8 == 5 { code.clone() } else { wrong(&code) });
        let answers = world.verify_at_once(&number, guesses).await;
        let approved = answers.iter().filter(|a| a.is(&verified(&number))).count();
        let counted = |trials| answers.iter().filter(|a| a.is(&incorrect(&number, trials))).count();
        assert!(approved <= 1, "{approved} successes");
        assert!([4, 3, 2, 1].into_iter().all(|trials| counted(trials) <= 1), "each count is said once");
        let refused = answers.iter().filter(|a| a.is(&locked(&number, 30))).count();
        // Without a success the number is locked; with one it is as if it had never asked.
        assert_eq!(refused > 0, approved == 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_parallel_sends_the_last_message_carries_the_code_that_works() {
    let world = World::new().await;
    let number = world.number();
    let answers = futures_util::future::join_all((0..16).map(|_| world.send(&number))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    // Messages in flight together carry the same code; a later one replaces it.
    let mut codes = world.twilio().codes();
    codes.dedup();
    let last = codes.pop().expect("a code");
    world.verify(&number, &last).await.expects(verified(&number));
}

async fn crowd(world: &World, number: &str, code: &str) -> Vec<HttpResponse> {
    world.verify_at_once(number, (0..CLIENTS).map(|_| code.to_owned())).await
}
