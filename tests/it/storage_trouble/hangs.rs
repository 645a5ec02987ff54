//! A disk that does not answer: clients get 503 in time, and the server recovers when the disk answers again.

use super::driven::{Patience, StoreClient};
use crate::belief::{Subject, locked_number};
use crate::support::prelude::*;

#[tokio::test]
async fn a_hung_sync_refuses_requests_in_time_and_readiness_shows_the_reason() {
    let (world, shim) = World::over_shim(Setup::new().config("bounds.commit-timeout", 3_000)).await;
    let mut guessed = Subject::with_code(&world).await;
    let mut given = Subject::with_code(&world).await;
    let locked = locked_number(&world).await;
    let number = world.number();
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    guessed.submits_a_wrong_code(&world).await.expects_refusal(503);
    world.send(&number).await.expects_refusal(503);
    given.submits_the_right_code(&world).await.expects_refusal(503);
    assert!(world.twilio().received_for(&number).is_empty(), "no message without a durable decision");
    assert_eq!(world.get("/healthz").await.status(), 200);
    assert_eq!(world.send(&locked).await.status(), 403);
    let readiness = until("unreadiness", || world.server.readiness(), |answer| answer.status() == 503).await;
    assert!(readiness.text().contains("the disk has not finished a write for"), "{}", readiness.text());

    shim.end();
    world.until_ready().await;
    world.send(&number).await.expects(sent(&number, 5));
    world.server.logs_times(1, "ERROR", "disk not responding").await;
    world.server.logs_times(1, "INFO", "disk responding again").await;
    guessed.belief.everything_was_counted();
    guessed.still_holds(&world).await;
    let world = world.restart_after_kill().await;
    given.still_holds(&world).await;
    assert_eq!(world.send(&locked).await.status(), 403);
}

#[tokio::test]
async fn while_every_sync_is_slow_answers_are_late_and_as_they_should_be() {
    let (world, shim) = World::over_shim(Setup::new()).await;
    let late = Duration::from_millis(200);
    shim.begin(&Trouble::slow(&[Call::Sync], late));
    let asked = Patience::begins();
    let (number, code) = world.number_with_code().await;
    assert!(asked.so_far() >= late, "answered after {:?}", asked.so_far());
    world.verify(&number, &code).await.expects(verified(&number));
    shim.end();
}

#[tokio::test]
async fn a_hang_is_logged_without_any_request_for_health() {
    let (world, shim) = World::over_shim(Setup::new().config("bounds.commit-timeout", 3_000)).await;
    shim.begin(&Trouble::hanging(&[Call::Write]).on(".seg"));
    world.send(&world.number()).await.expects_refusal(503);
    world.server.logs_times(1, "ERROR", "disk not responding").await;
    shim.end();
}

#[tokio::test]
async fn a_stop_while_the_disk_hangs_ends_at_its_deadline_and_loses_nothing() {
    let setup = Setup::new().config("bounds.commit-timeout", 3_000).config("graceful-stop", "2s");
    let (world, shim) = World::over_shim(setup).await;
    let mut guessed = Subject::with_code(&world).await;
    guessed.submits_a_wrong_code(&world).await;
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    guessed.submits_a_wrong_code(&world).await.expects_refusal(503);
    world.server.stop().await.exits(1);
    shim.end();
    let server = world.setup.start().await;
    guessed.still_holds(&server.client).await;
}

/// Each call hangs on its own thread of the store, and none is a write of the journal.
#[test]
fn health_reports_a_hang_in_making_room_in_the_journal_and_recovers() {
    let reserving = Trouble::hanging(&[Call::Create]).on(".seg");
    let snapshot = Trouble::hanging(&[Call::Sync]).on("/snapshot/");
    let removing = Trouble::hanging(&[Call::Unlink]).on(".seg");
    // Waiting commands get an answer; the server refuses commands at once that would wait for a checkpoint.
    for (trouble, says) in [
        (reserving, "what makes room"),
        (snapshot, "the next checkpoint is not finished yet"),
        (removing, "the next checkpoint is not finished yet"),
    ] {
        let what = format!("{trouble:?}");
        let mut store = StoreClient::of_a_new_store();
        store.shim.begin(&trouble);
        let mut health = String::new();
        store.until(&what, |store| {
            let answer = store.write(store.writes, 3000);
            let is_refusal = answer.contains("did not answer within") || answer.contains(says);
            assert!(answer == "durable" || is_refusal, "{what}: {answer}");
            health = store.ask("health");
            health != "well"
        });
        assert!(health.contains(says), "{what}: {health}");
        store.recovers(&what);
        store.survives_a_kill(&what);
    }
}
