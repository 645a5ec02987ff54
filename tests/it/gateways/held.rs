//! A gateway that makes and holds the code itself: Twilio Verify. `numbers::tests::held_core` has the rules.

use crate::support::prelude::*;

const HOLDER: &str = "TwilioVerify";

/// Concurrent checks of one number: fewer than the commands that may wait for it, therefore none is refused.
const CROWD: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_is_asked_once_at_a_time_and_approves_one_of_many_right_codes() {
    let world = Several::routed(HOLDER).await;
    let (number, code) = number_with_code(&world).await;
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    let crowd = world.verify_at_once(&number, (0..CROWD).map(|_| code.clone())).await;
    let approved = crowd.iter().filter(|answer| answer.is(&verified(&number))).count();
    let too_late = crowd.iter().filter(|answer| answer.is(&incorrect(&number, 5))).count();
    assert_eq!((approved, too_late), (1, CROWD - 1));
    assert_eq!(world.twilio().most_checks_at_once(&number), 1);

    let (number, code) = number_with_code(&world).await;
    let crowd = world.verify_at_once(&number, (0..CROWD).map(|_| wrong(&code))).await;
    for trials in [4, 3, 2, 1] {
        let told = crowd.iter().filter(|answer| answer.is(&incorrect(&number, trials))).count();
        assert_eq!(told, 1, "{trials} trials left is said once");
    }
    assert_eq!(crowd.iter().filter(|answer| answer.is(&locked(&number, 30))).count(), CROWD - 4);
    world.verify(&number, &code).await.expects(locked(&number, 30));
    assert_eq!(world.twilio().checks_for(&number).len(), 5, "a locked number is not asked about");
}

#[tokio::test]
async fn a_holder_that_hangs_slows_only_the_number_that_it_is_asked_about() {
    let world = Several::routed(HOLDER).await;
    let (slow, slow_code) = number_with_code(&world).await;
    world.twilio().plan_checks(&slow, [Reply::Hang]);
    let (client, to) = (world.server.client.clone(), slow.clone());
    let hanging = tokio::spawn(async move { client.verify(&to, &slow_code).await });
    world.twilio().asked_about(&slow, 1).await;

    let (number, code) = number_with_code(&world).await;
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    world.verify(&number, &code).await.expects(verified(&number));
    assert!(!hanging.is_finished(), "the check waits for the gateway");

    world.twilio().release();
    hanging.await.expect("an answer").expects(verified(&slow));
}

#[tokio::test]
async fn counts_of_a_holders_codes_survive_kill_9() {
    let world = Several::routed(HOLDER).await;
    let (number, code) = number_with_code(&world).await;
    let (other, other_code) = number_with_code(&world).await;
    world.locks_out(&number, &wrong(&code)).await;
    world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 4));
    let world = world.restart_after_kill().await;
    world.verify(&number, &code).await.expects(locked(&number, 30));
    assert_eq!(world.twilio().checks_for(&number).len(), 5);
    // The open verification continues.
    world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 3));
    world.verify(&other, &other_code).await.expects(verified(&other));
}

#[tokio::test]
async fn a_check_that_kill_9_interrupted_counts() {
    // After the restart the answer might still come until the budget has ended.
    let settings = [("send-budget", json!("6s")), ("otp-max-attempts", json!(3))];
    let mut world = Several::with(HOLDER, settings).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 3));
    let code = world.twilio().code_for(&number);
    for asked in 1..=2 {
        world.twilio().plan_checks(&number, [Reply::Hang]);
        let (client, to, guess) = (world.server.client.clone(), number.clone(), wrong(&code));
        let cut = tokio::spawn(async move { client.try_verify(&to, &guess).await });
        world.twilio().asked_about(&number, asked).await;
        world = world.restart_after_kill().await;
        assert!(cut.await.expect("it ends").is_err(), "an answer came");
    }
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
}

async fn number_with_code(world: &Several) -> (String, String) {
    let number = world.number_with_message().await;
    let code = world.twilio().code_for(&number);
    (number, code)
}
