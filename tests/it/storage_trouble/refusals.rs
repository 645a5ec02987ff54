//! A journal that cannot be written, with every error of the system. What the disk refused, the server refuses, names the
//! reason, and recovers without a restart. When it is unknown what the disk has, the server ends.

use rustix::io::Errno;

use crate::belief::{Facts, Subject, locked_number};
use crate::support::prelude::*;

/// The system's errors, in its words.
const ERRORS: [(Errno, &str); 4] = [
    (Errno::NOSPC, "No space left on device"),
    (Errno::DQUOT, "Disk quota exceeded"),
    (Errno::IO, "Input/output error"),
    (Errno::ROFS, "Read-only file system"),
];

#[tokio::test]
async fn no_refused_write_sends_or_approves_anything_and_the_server_recovers() {
    for torn in [false, true] {
        let (world, shim) = World::over_shim(Setup::new()).await;
        let locked = locked_number(&world).await;
        let mut all = Vec::new();
        let mut troubles = 0;
        for (error, says) in ERRORS {
            println!("{error:?}, torn: {torn}");
            let mut guessed = Subject::with_code(&world).await;
            let mut given = Subject::with_code(&world).await;
            guessed.submits_a_wrong_code(&world).await;
            let unsent = world.number();

            let trouble = Trouble::of(&[Call::Write], error).on(".seg");
            shim.begin(&if torn { trouble.torn() } else { trouble });
            troubles += 1;
            world.send(&unsent).await.expects_refusal(503);
            guessed.submits_a_wrong_code(&world).await.expects_refusal(503);
            given.submits_the_right_code(&world).await.expects_refusal(503);
            assert!(world.twilio().received_for(&unsent).is_empty(), "no message without a decision");
            let readiness = world.server.readiness().await.expects_status(503);
            assert!(readiness.text().contains(says), "{}", readiness.text());
            // The file, and no text of a programming language.
            readiness.says(["/journal", "the journal is not writable: "]);
            for words in ["os error", "Os {"] {
                assert!(!readiness.text().contains(words), "{words}: {}", readiness.text());
            }
            assert_eq!(world.get("/healthz").await.status(), 200);
            // The data on the disk is enough for this.
            assert_eq!(world.verify(&locked, "000000").await.status(), 403);
            assert_eq!(world.send(&locked).await.status(), 403);

            shim.end();
            world.until_ready().await;
            world.send(&unsent).await.expects(sent(&unsent, 5));
            assert_eq!(world.twilio().received_for(&unsent).len(), 1);
            guessed.still_holds(&world).await;
            all.push(Subject::of_sent(&unsent, &world.twilio().code_for(&unsent)));
            all.push(given);
        }
        world.server.logs_times(troubles, "ERROR", "journal unavailable").await;
        // Readiness returns just before the log line.
        let again = || async { world.server.output().text().matches("journal available again").count() };
        until("the last line", again, |count| *count == troubles).await;
        // What was acknowledged survives a kill in the next trouble.
        shim.begin(&Trouble::of(&Call::CHANGES, Errno::NOSPC).torn());
        assert!(matches!(all[0].submits_a_wrong_code(&world).await.status(), 500 | 503));
        world.server.kill();
        shim.end();
        let world = world.restart_after_kill().await;
        for one in all {
            one.still_holds(&world).await;
        }
        assert_eq!(world.send(&locked).await.status(), 403);
    }
}

#[tokio::test]
async fn an_unknown_outcome_ends_the_server_with_74_and_loses_nothing() {
    for calls in [&[Call::Sync][..], &[Call::Write, Call::Sync, Call::Cut]] {
        for (error, says) in [ERRORS[0], ERRORS[2]] {
            println!("{calls:?} {error:?}");
            let (world, shim) = World::over_shim(Setup::new()).await;
            let (facts, unsent) = (Facts::made_in(&world).await, world.number());
            shim.begin(&Trouble::of(calls, error).on(".seg").torn());
            match world.server.client.try_send(&unsent).await {
                Ok(answer) if answer.status() == 500 => {
                    answer.expects(failed());
                    assert!(answer.header("x-onceward-reason").starts_with("The outcome is unknown"));
                    assert_eq!(answer.header("retry-after"), "");
                }
                // A change that no client waits for may meet the trouble before it.
                Ok(answer) => drop(answer.expects_refusal(503)),
                Err(_) => {}
            }
            assert!(world.twilio().received_for(&unsent).is_empty(), "no message without a decision");
            let World { server, setup, .. } = world;
            let ended = server.ended().await.exits(74);
            assert_eq!(ended.output.matches("\"level\":\"ERROR\"").count(), 1, "{}", ended.output);
            ended.says(["store failed", "/journal/", ".seg", says]);
            shim.end();
            facts.hold(&setup.start().await.client).await;
        }
    }
}
