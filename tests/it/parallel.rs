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

async fn crowd(world: &World, number: &str, code: &str) -> Vec<HttpResponse> {
    world.verify_at_once(number, (0..CLIENTS).map(|_| code.to_owned())).await
}
