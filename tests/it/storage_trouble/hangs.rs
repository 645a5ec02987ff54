//! A disk that does not answer: clients are answered in time. The server recovers when the disk answers again, and ends
//! when it does not.

use std::io;

use crate::belief::{Facts, NO_CODE, Request, Subject, locked_number};
use crate::support::prelude::*;

#[tokio::test]
async fn a_hung_sync_refuses_requests_in_time_and_readiness_shows_the_reason() {
    let (world, shim) = World::over_shim(Setup::new().config("bounds.commit-timeout", 3_000)).await;
    let mut guessed = Subject::with_code(&world).await;
    let mut given = Subject::with_code(&world).await;
    let locked = locked_number(&world).await;
    let number = world.number();
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    // What is in the commit waits for it.
    let waits = guessed.submits_a_wrong_code(&world);
    let meanwhile = async {
        let readiness =
            until("unreadiness", || world.server.readiness(), |answer| answer.status() == 503).await;
        assert!(readiness.text().contains("the disk has not finished a write for"), "{}", readiness.text());
        world.send(&number).await.expects_refusal(503);
        given.submits_the_right_code(&world).await.expects_refusal(503);
        world.send(&locked).await.expects_refusal(503);
        assert!(world.twilio().received_for(&number).is_empty(), "no message without a durable decision");
        assert_eq!(world.get("/healthz").await.status(), 200);
        shim.end();
    };
    let (answer, ()) = tokio::join!(waits, meanwhile);
    assert_eq!(answer.status(), 401);
    world.until_ready().await;
    world.send(&number).await.expects(sent(&number, 5));
    guessed.still_holds(&world).await;
    let world = world.restart_after_kill().await;
    given.still_holds(&world).await;
    assert_eq!(world.send(&locked).await.status(), 403);
}

#[tokio::test]
async fn a_disk_that_hangs_for_30_s_ends_the_server_with_74_and_loses_nothing() {
    let (world, shim) = World::over_shim(Setup::new()).await;
    let mut facts = Facts::made_in(&world).await;
    shim.begin(&Trouble::hanging(&[Call::Sync]).on(".seg"));
    let waits = submits_in_background(&mut facts.guessed, &world);
    until("unreadiness", || world.server.readiness(), |answer| answer.status() == 503).await;
    world.send(&world.number()).await.expects_refusal(503);
    assert!(!waits.is_finished(), "its outcome is open");
    let World { server, setup, .. } = world;
    server.ended().await.exits(74).says([
        "store failed",
        "the disk has not finished a write for 30 s in ",
        "/journal",
    ]);
    shim.end();
    facts.hold(&setup.start().await.client).await;
}

#[tokio::test]
async fn a_stop_while_the_disk_hangs_ends_at_its_deadline_and_loses_nothing() {
    let setup = Setup::new().config("bounds.commit-timeout", 3_000).config("graceful-stop", "2s");
    let (world, shim) = World::over_shim(setup).await;
    let mut guessed = Subject::with_code(&world).await;
    guessed.submits_a_wrong_code(&world).await;
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    submits_in_background(&mut guessed, &world);
    until("unreadiness", || world.server.readiness(), |answer| answer.status() == 503).await;
    world.server.stop().await.exits(1);
    shim.end();
    let server = world.setup.start().await;
    guessed.still_holds(&server.client).await;
}

/// Submits a wrong code, without waiting for the answer.
fn submits_in_background(
    subject: &mut Subject,
    client: &Client,
) -> tokio::task::JoinHandle<io::Result<HttpResponse>> {
    let (client, request) = (client.clone(), Request::Check(NO_CODE.to_owned()));
    subject.learn(&[(request.clone(), None)], &[]);
    let about = subject.clone();
    tokio::spawn(async move { request.ask(&client, &about).await })
}
