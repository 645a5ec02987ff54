//! A journal that cannot be written, with every error of the system: the server refuses, names the reason, and recovers
//! without a restart.

use rustix::io::Errno;
use tokio::task::JoinSet;

use crate::belief::{NO_CODE, Subject, locked_number};
use crate::support::prelude::*;

/// The system's error, and the calls that return it.
const ERRORS: [(Errno, &str); 4] = [
    (Errno::NOSPC, "No space left on device"),
    (Errno::DQUOT, "Disk quota exceeded"),
    (Errno::IO, "Input/output error"),
    (Errno::ROFS, "Read-only file system"),
];
const CALLS: [&[Call]; 3] = [&[Call::Write], &[Call::Sync], &[Call::Write, Call::Sync, Call::Cut]];

#[tokio::test]
async fn no_disk_error_sends_or_approves_anything_and_the_server_recovers() {
    for torn in [false, true] {
        let (world, shim) = World::over_shim(Setup::new()).await;
        let locked = locked_number(&world).await;
        let mut all = Vec::new();
        let mut troubles = 0;
        for (error, says) in ERRORS {
            for calls in CALLS {
                println!("{calls:?} {error:?}, torn: {torn}");
                let mut guessed = Subject::with_code(&world).await;
                let mut given = Subject::with_code(&world).await;
                guessed.submits_a_wrong_code(&world).await;
                let unsent = world.number();

                let trouble = Trouble::of(calls, error).on(".seg");
                shim.begin(&if torn { trouble.torn() } else { trouble });
                troubles += 1;
                world.send(&unsent).await.expects_refusal(503);
                guessed.submits_a_wrong_code(&world).await.expects_refusal(503);
                given.submits_the_right_code(&world).await.expects_refusal(503);
                assert!(world.twilio().received_for(&unsent).is_empty(), "no message without a decision");
                let readiness = world.server.readiness().await;
                readiness.expects_not_ready();
                assert!(readiness.text().contains(says), "{calls:?}: {}", readiness.text());
                // The file and the time, and no text of a programming language.
                readiness.says(["/journal", "not been writable for "]);
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
        }
        world.server.logs_times(troubles, "ERROR", "journal unavailable").await;
        // Readiness returns just before the log line.
        let again = || async { world.server.output().text().matches("journal available again").count() };
        until("the last line", again, |count| *count == troubles).await;
        // What was acknowledged survives a kill in the next trouble.
        shim.begin(&Trouble::of(&Call::CHANGES, Errno::NOSPC).torn());
        all[0].submits_a_wrong_code(&world).await.expects_refusal(503);
        world.server.kill();
        shim.end();
        let world = world.restart_after_kill().await;
        for one in all {
            one.still_holds(&world).await;
        }
        assert_eq!(world.send(&locked).await.status(), 403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_log_says_what_is_wrong_once_and_not_for_each_request() {
    let (world, shim) = World::over_shim(Setup::new().config("log-level", "info")).await;
    let one = Subject::with_code(&world).await;
    let begun = world.server.output().events().len();
    shim.begin(&Trouble::of(&Call::CHANGES, Errno::NOSPC));
    let mut load = JoinSet::new();
    for _ in 0..20 {
        let (client, number, guess) = (world.server.client.clone(), one.number.clone(), NO_CODE.to_owned());
        load.spawn(async move {
            for _ in 0..100 {
                // A locked number's further refusals need no write, and get an answer.
                assert!([403, 429, 503].contains(&client.verify(&number, &guess).await.status()));
                client.send("+14155550199").await;
                client.get("/readyz").await;
            }
        });
    }
    soon("the load", load.join_all()).await;
    // The next line reports the refusals that came after the line of their second, even if no more follow.
    let rest = |line: &Value| line["message"] == "requests refused" && line["count"].as_u64() > Some(1);
    soon("the line about the rest", world.server.output().event(rest)).await;
    let lines = world.server.output().events().split_off(begun);
    shim.end();
    let refused = lines.iter().filter(|line| line["message"] == "requests refused");
    let counted: u64 = refused.clone().filter_map(|line| line["count"].as_u64()).sum();
    assert!(counted > 100, "{counted} refusals are accounted for");
    let mut seconds: Vec<_> = lines.iter().filter_map(|line| line["timestamp"].as_str()?.get(..19)).collect();
    seconds.dedup();
    assert!(refused.count() <= 2 * (seconds.len() + 2), "a line a second and kind: {lines:#?}");
    let others = lines.iter().filter(|line| line["message"] != "requests refused");
    assert!(others.count() < 10, "{lines:#?}");
    world.server.logs_times(1, "ERROR", "journal unavailable").await;
}
