//! Many requests for one number at the same time.

use crate::support::prelude::*;

const CLIENTS: usize = 200;

/// Repetitions, to find a race that is rarely lost.
const ROUNDS: usize = 5;

/// Commands for one number at once. Beyond the first bound the server refuses some clients for now; with the second one
/// the engine decides every request.
const BOUNDS: [usize; 2] = [64, CLIENTS];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_checks_one_right_code_or_five_wrong_ones_count() {
    for bound in BOUNDS {
        let world = World::with([("bounds.commands-per-number", json!(bound))]).await;
        for _ in 0..ROUNDS {
            let (number, code) = world.number_with_code().await;
            let answers = world.verify_at_once(&number, CLIENTS, &code).await;
            let count = |wanted: &Expectation| answers.iter().filter(|answer| answer.is(wanted)).count();
            let (approved, late) = (count(&verified(&number)), count(&incorrect(&number, 5)));
            assert_eq!((approved, late + told_to_wait(&answers, bound)), (1, CLIENTS - 1), "{bound}");
            world.verify(&number, &code).await.expects(incorrect(&number, 5));

            let (number, code) = world.number_with_code().await;
            let answers = world.verify_at_once(&number, CLIENTS, &wrong(&code)).await;
            let count = |wanted: &Expectation| answers.iter().filter(|answer| answer.is(wanted)).count();
            let told = [4, 3, 2, 1].map(|trials| count(&incorrect(&number, trials)));
            assert_eq!(told, [1; 4], "{bound}: how many trials are left is said once");
            let refused = count(&locked(&number, 30));
            assert_eq!(refused + told_to_wait(&answers, bound), CLIENTS - 4, "{bound}");
            world.verify(&number, &code).await.expects(locked(&number, 30));
        }
    }
}

/// The clients that are to try again, which only the lower bound makes.
fn told_to_wait(answers: &[HttpResponse], bound: usize) -> usize {
    let later: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    for answer in &later {
        assert!(answer.retry_after() > 0);
    }
    assert!(bound < CLIENTS || later.is_empty(), "{later:?}");
    later.len()
}
