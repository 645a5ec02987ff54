//! Gateways that make and hold the code themselves: Twilio Verify and Sinch Verification.

use super::twilio_refuses;
use crate::support::prelude::*;

const HOLDERS: [&str; 2] = ["TwilioVerify", "Sinch"];

/// Concurrent checks of one number: fewer than the commands that may wait for it, therefore none is refused.
const CROWD: usize = 50;

#[tokio::test]
async fn the_holder_is_asked_about_every_code_until_one_is_right() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        let (number, code) = number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.verify(&number, "no code").await.expects(incorrect(&number, 3));
        world.verify(&number, &code).await.expects(verified(&number));
        let asked = checks_of(&world, &number);
        assert!((2..=3).contains(&asked), "what cannot be a code need not be asked about: {asked}");
        world.verify(&number, &code).await.expects(incorrect(&number, 5));
        assert_eq!(checks_of(&world, &number), asked, "there is nothing to ask about");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_right_codes_is_approved() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        for _ in 0..4 {
            let (number, code) = number_with_code(&world).await;
            let answers = crowd(&world, &number, &code).await;
            let approved = answers.iter().filter(|answer| answer.is(&verified(&number))).count();
            let too_late = answers.iter().filter(|answer| answer.is(&incorrect(&number, 5))).count();
            assert_eq!((approved, too_late), (1, CROWD - 1));
            assert_eq!(most_checks_at_once(&world, &number), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_is_asked_about_five_of_many_wrong_codes() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        for _ in 0..4 {
            let (number, code) = number_with_code(&world).await;
            let answers = crowd(&world, &number, &wrong(&code)).await;
            for trials in [4, 3, 2, 1] {
                let told = answers.iter().filter(|answer| answer.is(&incorrect(&number, trials))).count();
                assert_eq!(told, 1, "{trials} trials left is said once");
            }
            let refused = answers.iter().filter(|answer| answer.is(&locked(&number, 30))).count();
            assert_eq!(refused, CROWD - 4);
            assert_eq!((checks_of(&world, &number), most_checks_at_once(&world, &number)), (5, 1));
            world.verify(&number, &code).await.expects(locked(&number, 30));
            world.send(&number).await.expects(locked(&number, 30));
            assert_eq!(checks_of(&world, &number), 5, "a locked number is not asked about");
            assert_eq!(world.doubles.sends_to(&number).iter().sum::<usize>(), 1, "nor sent anything");
        }
    }
}

#[tokio::test]
async fn a_holder_that_hangs_slows_only_the_number_that_it_is_asked_about() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        let (slow, slow_code) = number_with_code(&world).await;
        plan_check(&world, &slow, Reply::Hang);
        let (client, to) = (world.server.client.clone(), slow.clone());
        let hanging = tokio::spawn(async move { client.verify(&to, &slow_code).await });
        is_asked_about(&world, &slow, 1).await;

        let (number, code) = number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.verify(&number, &code).await.expects(verified(&number));
        assert!(!hanging.is_finished(), "the check waits for the gateway");

        world.twilio().release();
        world.sinch().release();
        hanging.await.expect("an answer").expects(verified(&slow));
        assert_eq!(most_checks_at_once(&world, &slow), 1);
    }
}

#[tokio::test]
async fn counts_of_a_holders_codes_survive_kill_9() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        let (number, code) = number_with_code(&world).await;
        let (other, other_code) = number_with_code(&world).await;
        world.locks_out(&number, &wrong(&code)).await;
        world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 4));
        let world = world.restart_after_kill().await;
        world.verify(&number, &code).await.expects(locked(&number, 30));
        assert_eq!(checks_of(&world, &number), 5);
        // The open verification continues.
        world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 3));
        world.verify(&other, &other_code).await.expects(verified(&other));
    }
}

#[tokio::test]
async fn a_check_that_kill_9_interrupted_counts() {
    // After the restart the answer might still come until the budget has ended.
    let settings = [("send-budget", json!("6s")), ("otp-max-attempts", json!(3))];
    for holder in HOLDERS {
        println!("{holder}");
        let mut world = Several::with(holder, settings.clone()).await;
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 3));
        let code = code_for(&world, &number);
        for asked in 1..=2 {
            plan_check(&world, &number, Reply::Hang);
            let (client, to, guess) = (world.server.client.clone(), number.clone(), wrong(&code));
            let cut = tokio::spawn(async move { client.try_verify(&to, &guess).await });
            is_asked_about(&world, &number, asked).await;
            world = world.restart_after_kill().await;
            assert!(cut.await.expect("it ends").is_err(), "an answer came");
        }
        world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
    }
}

#[tokio::test]
async fn a_second_send_and_a_forgotten_code_do_not_reset_the_count() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(holder).await;
        let (number, code) = number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.send(&number).await.expects(sent(&number, 4));
        let code = code_for(&world, &number);
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
        world.twilio().verify().forget(&number);
        world.sinch().forget(&number);
        world.verify(&number, &code).await.expects(incorrect(&number, 2));
        world.send(&number).await.expects(sent(&number, 2));
        world.verify(&number, &code_for(&world, &number)).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn the_gateway_that_sent_a_code_checks_it_whatever_others_exist() {
    for holder in HOLDERS {
        println!("{holder}");
        let world = Several::routed(&format!("{holder};Http")).await;
        let number = world.number_with([Reply::Busy]);
        world.sinch().plan(&number, [Reply::Busy]);
        world.accepts(&number).await;
        world.verifies_by_plain(&number).await;
        assert_eq!(checks_of(&world, &number), 0);

        // In the reverse order, the earlier code of the other gateway is replaced.
        let world = Several::routed(&format!("Http;{holder}")).await;
        let number = world.number_with_message().await;
        let replaced = world.plain().code_for(&number);
        world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
        world.accepts(&number).await;
        world.verify(&number, &replaced).await.expects(incorrect(&number, 4));
        world.verify(&number, &code_for(&world, &number)).await.expects(verified(&number));
    }
}

async fn number_with_code(world: &Several) -> (String, String) {
    let number = world.number_with_message().await;
    let code = code_for(world, &number);
    (number, code)
}

fn code_for(world: &Several, number: &str) -> String {
    let of_sinch = || world.sinch().last_code_for(number);
    world.twilio().last_code_for(number).or_else(of_sinch).expect("a code")
}

fn checks_of(world: &Several, number: &str) -> usize {
    world.twilio().checks_for(number).len() + world.sinch().checks_for(number).len()
}

fn most_checks_at_once(world: &Several, number: &str) -> isize {
    world.twilio().most_checks_at_once(number) + world.sinch().most_checks_at_once(number)
}

fn plan_check(world: &Several, number: &str, reply: Reply) {
    world.twilio().plan_checks(number, [reply]);
    world.sinch().plan_checks(number, [reply]);
}

async fn is_asked_about(world: &Several, number: &str, checks: usize) {
    tokio::select! {
        () = world.twilio().asked_about(number, checks) => {}
        () = world.sinch().asked_about(number, checks) => {}
    }
}

async fn crowd(world: &Several, number: &str, code: &str) -> Vec<HttpResponse> {
    world.verify_at_once(number, (0..CROWD).map(|_| code.to_owned())).await
}

#[tokio::test]
async fn the_right_code_counts_and_fails_after_verifys_limit_of_checks() {
    let world = Several::with("TwilioVerify", [("otp-max-attempts", json!(10))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 10));
    let code = world.twilio().code_for(&number);
    for trials in [9, 8, 7, 6, 5] {
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, trials));
    }
    // Verify looks at five codes of a verification.
    world.verify(&number, &code).await.expects(incorrect(&number, 4));
}

#[tokio::test]
async fn a_landline_is_called_by_verify_itself() {
    let world = Several::with("TwilioVerify", [("voice", json!(true))]).await;
    let number = world.number_with([twilio_refuses(60_205)]);
    world.accepts(&number).await;
    let received = world.twilio().received_for(&number);
    let channels: Vec<&str> = received.iter().map(|received| received.field("Channel")).collect();
    assert_eq!(channels, ["sms", "call"]);
    world.verifies_by_twilio(&number).await;
}

#[tokio::test]
async fn the_tutorials_routes_go_through_verify_too() {
    let world = Several::routed("TwilioVerify").await;
    let number = world.number();
    assert_eq!(world.send_code(&number).await.status(), 200);
    let code = world.twilio().code_for(&number);
    world.verify_code(&number, &code).await.expects_message(200, "This is a valid match!");
}

#[tokio::test]
async fn a_text_is_asked_for_as_sms_and_a_call_as_callout() {
    let world = Several::with("Sinch", [("voice", json!(true))]).await;
    let number = world.number_with_message().await;
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("sms"));

    let number = world.number();
    world.send_by(&number, "call").await.expects(sent(&number, 5));
    assert_eq!(world.sinch().method_for(&number).as_deref(), Some("callout"));
    // The double accepts the code only with the method that sent it.
    let code = world.sinch().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}
