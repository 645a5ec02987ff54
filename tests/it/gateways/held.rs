//! `kill -9` while a gateway holds the codes: Twilio Verify. The simulation has the rules.

use crate::support::prelude::*;

#[tokio::test]
async fn attempts_at_held_codes_survive_kill_9_also_one_that_it_interrupts() {
    // After the restart the holder's answer might still come until the budget has ended.
    let setup = Setup::new().config("send-budget", "6s").config("otp-max-attempts", 3);
    let setup = setup.config("otp-sms-provider", "TwilioVerify").env("TWILIO_SERVICES_ID", VERIFY_SID);
    let mut world = World::of(setup).await;
    let [(number, code), (other, other_code)] =
        [world.number_with_code().await, world.number_with_code().await];
    world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 2));
    for asked in 1..=2 {
        world.twilio().plan_checks(&number, [Reply::Hang]);
        let (client, to, guess) = (world.server.client.clone(), number.clone(), wrong(&code));
        let cut = tokio::spawn(async move { checked(&client, &to, &guess).await });
        until("a check", async || checks_of(&world, &number), |checks| *checks == asked).await;
        world = world.restart_after_kill().await;
        assert!(cut.await.expect("it ends").is_none(), "an answer came");
    }
    let last = checked(&world.server.client, &number, &wrong(&code)).await;
    last.expect("an answer").expects(locked(&number, 30));
    world = world.restart_after_kill().await;
    world.verify(&number, &code).await.expects(locked(&number, 30));
    assert_eq!(checks_of(&world, &number), 3, "a locked number is not asked about");
    // The open verification continues.
    world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 1));
    world.verify(&other, &other_code).await.expects(verified(&other));
}

/// The answer to a check once no other is under way: one that a kill has cut off may still be at the holder.
async fn checked(client: &Client, number: &str, code: &str) -> Option<HttpResponse> {
    let is_decided =
        |answer: &Option<HttpResponse>| answer.as_ref().is_none_or(|answer| answer.status() != 429);
    until("a check", async || client.try_verify(number, code).await.ok(), is_decided).await
}

/// How often the holder was asked about a number.
fn checks_of(world: &World, number: &str) -> usize {
    let received = world.twilio().received();
    received.iter().filter(|received| received.is_about(number, RequestPurpose::Check)).count()
}
