//! Many requests for one number at the same time.

use crate::support::prelude::*;

const CLIENTS: usize = 200;

/// Repetitions of each test, to find a race that is rarely lost.
const ROUNDS: usize = 5;

/// Commands for one number at once. Beyond the first bound the server refuses some clients for now; with the second one
/// the engine decides every request.
const BOUNDS: [usize; 2] = [64, CLIENTS];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_right_codes_exactly_one_is_approved() {
    for bound in BOUNDS {
        let world = World::with([("bounds.commands-per-number", json!(bound))]).await;
        for _ in 0..ROUNDS {
            let (number, code) = world.number_with_code().await;
            let answers = world.verify_at_once(&number, CLIENTS, &code).await;
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
        let world = World::with([("bounds.commands-per-number", json!(bound))]).await;
        for _ in 0..ROUNDS {
            let (number, code) = world.number_with_code().await;
            let answers = world.verify_at_once(&number, CLIENTS, &wrong(&code)).await;
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

/// The clients that are to try again, which only the lower bound makes.
fn later(answers: &[HttpResponse], bound: usize) -> usize {
    let later: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    for answer in &later {
        answer.expects_retry_after();
    }
    assert!(bound < CLIENTS || later.is_empty(), "{later:?}");
    later.len()
}
