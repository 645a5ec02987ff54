//! Trouble at the start and the stop of a server: the server reports it plainly and damages nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::io::Errno;
use rustix::process::Signal;

use super::mount::{SmallDisk, may_mount};
use super::refusals::{locked_number, told, world_over_shim};
use super::shim::{Call, Shim, Trouble};
use crate::support::{Client, Finished, Says, Server, Setup, World, until};

/// The exit code of a failed start.
const START_FAILED: i32 = 70;

#[tokio::test]
async fn a_disk_that_fails_at_the_start_is_named_and_the_next_start_is_good() {
    let (world, shim) = world_over_shim(Setup::new()).await;
    let mut guessed = told(&world).await;
    guessed.guess(&world).await;
    let locked = locked_number(&world).await;
    let World { setup, mut server, .. } = world;
    let changes = &Call::CHANGES[..];
    for (calls, part, error, advice) in [
        (changes, "", Errno::NOSPC, "free space"),
        (changes, "", Errno::DQUOT, "raise the quota"),
        (changes, "", Errno::ROFS, "mount it writable"),
        (changes, "", Errno::IO, "dmesg"),
        (&[Call::Read], "/journal/", Errno::IO, "dmesg"),
        (&[Call::Read], "MANIFEST", Errno::IO, "dmesg"),
        (&[Call::Read], "FORMAT", Errno::IO, "dmesg"),
        (&[Call::Open, Call::Create], "", Errno::ACCESS, "chown"),
        (&[Call::Open, Call::Create], "", Errno::MFILE, "open files"),
    ] {
        server.kill();
        server.ended().await;
        shim.begin(&Trouble::of(calls, error).on(part));
        let refused = setup.run().await;
        shim.end();
        says_what_to_do(&refused, &setup, advice);
        server = setup.start().await;
        assert_eq!(server.client.send(&locked).await.status(), 403, "{part} {error:?}");
    }
    guessed.still_holds(&server.client, false).await;
}

#[tokio::test]
async fn until_the_store_is_loaded_requests_are_told_that_the_server_starts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let setup = Setup::new();
    let shim = Shim::over(&setup.data_dir());
    let setup = shim.under(setup).args(["--listen", &address.to_string()]);
    shim.begin(&Trouble::hanging(&[Call::Sync]));
    let mut server = setup.launch();
    server.client = Client::new(address);
    let connects = || async { tokio::net::TcpStream::connect(address).await.is_ok() };
    until("an open port", connects, |open| *open).await;
    for path in ["/api/send-otp", "/send-code"] {
        let answer = server.client.post(path, r#"{"phoneNumber":"+14155550123"}"#).await;
        assert_eq!((answer.status(), answer.header("retry-after")), (503, "1"), "{}", answer.text());
        assert!(answer.text().contains("The server is starting."), "{}", answer.text());
    }
    shim.end();
    until("readiness", || server.client.get("/readyz"), |answer| answer.status() == 200).await;
}

#[tokio::test]
async fn a_first_start_on_a_failing_disk_leaves_nothing_that_hinders_the_next() {
    for error in [Errno::NOSPC, Errno::ROFS, Errno::IO] {
        for after in [0, 2, 5, 9, 14, 20, 25] {
            let setup = Setup::new();
            let shim = Shim::over(&setup.data_dir());
            let setup = shim.under(setup);
            shim.begin(&Trouble::of(&Call::CHANGES, error).after(after));
            let refused = setup.run().await;
            shim.end();
            assert_eq!(refused.status.code(), Some(START_FAILED), "{}", refused.output);
            assert!(!refused.output.contains("panicked"), "{}", refused.output);
            assert_eq!(setup.start().await.client.send("+14155550123").await.status(), 200);
        }
    }
}

#[tokio::test]
async fn a_full_disk_at_a_first_start_is_named_and_after_a_crash_it_is_served() {
    if !may_mount() {
        return;
    }
    for kib in [4, 64, 1024, 80 * 1024, 128 * 1024] {
        let setup = Setup::new();
        let disk = SmallDisk::of_kib(kib, &setup.data_dir());
        says_what_to_do(&setup.run().await, &setup, "No space left");
        disk.resize_to_kib(200 * 1024);
        let world = World::of(setup).await;
        let mut guessed = told(&world).await;
        guessed.guess(&world).await;
        world.server.kill();
        let World { setup, server, .. } = world;
        server.ended().await;
        disk.fill();
        // The segment that was reserved has room for commits.
        let server = setup.start().await;
        assert_eq!(server.client.send("+14155550123").await.status(), 200);
        guessed.still_holds(&server.client, false).await;
    }
}

#[tokio::test]
async fn a_full_disk_without_a_reserved_segment_is_served_from_scratch() {
    if !may_mount() {
        return;
    }
    let setup = Setup::new().env("TMPDIR", "");
    let disk = SmallDisk::of_kib(300 * 1024, &setup.data_dir());
    // With a snapshot, which only a copy of is read.
    let (world, _) = World::of(setup).await.restart().await;
    let mut guessed = told(&world).await;
    guessed.guess(&world).await;
    let locked = locked_number(&world).await;
    world.server.kill();
    let World { setup, server, twilio, numbers } = world;
    server.ended().await;
    remove_last_segment(&setup);
    disk.fill();
    let refused = setup.run().await;
    says_what_to_do(&refused, &setup, "--scratch");
    let needed = refused.output.split("takes ").nth(1).and_then(|rest| rest.split(" bytes").next());
    assert!(
        needed.is_some_and(|bytes| bytes.parse::<u64>().is_ok_and(|bytes| bytes > 0)),
        "{}",
        refused.output
    );

    let scratch = setup.home().join("scratch");
    let setup = setup.args(["--scratch", "scratch"]);
    let refused = setup.run().await;
    assert!(refused.output.contains("there is no directory"), "{}", refused.output);
    fs::create_dir(&scratch).expect("a directory");
    let refused = setup.clone().config("otp-timeout", "7m").run().await;
    says_what_to_do(&refused, &setup, "cannot reserve a journal segment of 67108864 bytes");
    assert!(refused.output.contains("the configuration of before"), "{}", refused.output);
    let server = setup.start().await;
    assert_eq!(fs::read_dir(&scratch).expect("a directory").count(), 0, "the copy was removed");
    assert_eq!(server.client.get("/healthz").await.status(), 200);
    let readiness = server.client.get("/readyz").await.expects_status(503);
    assert!(
        readiness.text().contains("cannot reserve a journal segment of 67108864 bytes"),
        "{}",
        readiness.text()
    );
    assert_eq!(server.client.send(&locked).await.status(), 403, "what needs no write is answered");
    for _ in 0..3 {
        let number = numbers.next();
        server.client.send(&number).await.expects_retry_after();
        server.client.verify(&number, "000000").await;
        assert!(twilio.received_for(&number).is_empty(), "nothing was sent");
    }

    disk.resize_to_kib(500 * 1024);
    let ready = || async { server.client.get("/readyz").await.status() };
    crate::support::until("readiness", ready, |status| *status == 200).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 200);
    guessed.still_holds(&server.client, false).await;
    assert_eq!(server.client.send(&locked).await.status(), 403);
}

/// Removes the segment that was reserved and not written to.
fn remove_last_segment(setup: &Setup) {
    let segments = fs::read_dir(setup.data_dir().join("journal")).expect("a directory");
    let last = segments.map(|entry| entry.expect("an entry").path()).max().expect("a segment");
    fs::remove_file(last).expect("removed");
}

#[tokio::test]
async fn a_start_names_a_read_only_mount_and_succeeds_on_a_writable_one() {
    if !may_mount() {
        return;
    }
    let setup = Setup::new();
    let disk = SmallDisk::of_kib(300 * 1024, &setup.data_dir());
    disk.make_read_only();
    says_what_to_do(&setup.run().await, &setup, "Read-only file system");
    disk.make_writable();
    let world = World::of(setup).await;
    let mut guessed = told(&world).await;
    guessed.guess(&world).await;
    world.server.kill();
    let World { setup, server, .. } = world;
    server.ended().await;
    disk.make_read_only();
    says_what_to_do(&setup.run().await, &setup, "mount it writable");
    disk.make_writable();
    guessed.still_holds(&setup.start().await.client, false).await;
}

#[tokio::test]
async fn a_read_only_data_directory_is_read_from_a_copy_in_tmpdir() {
    if !may_mount() {
        return;
    }
    let setup = Setup::new();
    let disk = SmallDisk::of_kib(300 * 1024, &setup.data_dir());
    let world = World::of(setup).await;
    let (number, _) = world.number_with_code().await;
    world.server.signal(Signal::TERM);
    let World { setup, server, .. } = world;
    assert_eq!(server.ended().await.status.code(), Some(0));
    disk.make_read_only();
    let places = fs::read_dir(setup.home()).expect("a directory").count();
    let without = setup.clone().env("TMPDIR", "");
    let with = setup.clone().env("TMPDIR", setup.home().to_str().expect("a path"));
    for command in [&["check-data"][..], &["export", "--out", "-"]] {
        let command = || command.iter().copied().chain(["--data-dir", "data"]);
        without.command(command()).await.exits(70).says(["set the environment variable TMPDIR"]);
        let done = with.command(command()).await.exits(0);
        assert!(done.output.contains("no damage found") || done.output.contains(&number), "{}", done.output);
    }
    assert_eq!(fs::read_dir(setup.home()).expect("a directory").count(), places, "copies are removed");
}

#[tokio::test]
async fn a_stop_in_trouble_exits_with_1_and_loses_nothing() {
    for error in [Errno::NOSPC, Errno::IO] {
        for (calls, part) in [
            (&[Call::Write, Call::Cut][..], ".seg"),
            (&[Call::Sync], ".seg"),
            (&Call::CHANGES, "/snapshot/"),
            (&Call::CHANGES, ""),
            (&[Call::Unlink], ".seg"),
        ] {
            let (world, shim) = world_over_shim(Setup::new()).await;
            let mut guessed = told(&world).await;
            guessed.guess(&world).await;
            let locked = locked_number(&world).await;
            shim.begin(&Trouble::of(calls, error).on(part));
            stop_is_over(&world.server).await;
            shim.end();
            let finished = world.server.ended().await;
            assert_eq!(finished.status.code(), Some(1), "{calls:?} {part}: {}", finished.output);
            assert!(finished.output.contains("stopped, last checkpoint failed"), "{}", finished.output);
            assert!(!finished.output.contains("panicked"), "{}", finished.output);
            let server = world.setup.start().await;
            guessed.still_holds(&server.client, false).await;
            assert_eq!(server.client.send(&locked).await.status(), 403);
        }
    }
}

#[tokio::test]
async fn keys_are_listed_without_a_server_on_a_full_disk() {
    let setup = Setup::new();
    let shim = Shim::over(&setup.data_dir());
    let setup = shim.under(setup);
    setup.command(["keys", "create", "--name", "web"]).await.exits(0);
    let places = setup.home().to_str().expect("a path").to_owned();
    let setup = setup.env("TMPDIR", places);
    shim.begin(&Trouble::of(&Call::CHANGES, Errno::NOSPC));
    setup.command(["keys", "list"]).await.exits(0).says(["web"]);
    let second = setup.command(["keys", "create"]).await;
    says_what_to_do(&second, &setup, "free space");
    shim.end();
}

#[tokio::test]
async fn a_control_socket_that_cannot_be_made_is_said_once_and_hinders_nothing() {
    let setup = Setup::new();
    fs::create_dir_all(setup.data_dir().join("control.sock")).expect("a directory in its place");
    let world = World::of(setup).await;
    let mut told = told(&world).await;
    told.give(&world).await;
    super::refusals::said(&world, "control socket not open", "WARN", 1).await;
    assert_eq!(world.server.stop().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_directory_that_is_not_ours_is_named() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything; a test above makes the same error with the library.
        return;
    }
    let setup = Setup::new();
    fs::create_dir_all(setup.data_dir()).expect("a directory");
    fs::set_permissions(setup.data_dir(), fs::Permissions::from_mode(0o500)).expect("its mode");
    says_what_to_do(&setup.run().await, &setup, "Permission denied");
    fs::set_permissions(setup.data_dir(), fs::Permissions::from_mode(0o700)).expect("its mode");
    assert_eq!(setup.start().await.client.send("+14155550123").await.status(), 200);
}

/// Stops the server during the trouble, and waits until it has tried.
async fn stop_is_over(server: &Server) {
    server.signal(Signal::TERM);
    let failed =
        |line: &serde_json::Value| line["message"].as_str().is_some_and(|m| m.starts_with("stopped"));
    crate::support::soon("the end", server.output().event(failed)).await;
}

/// Asserts that the start ended as documented, with a message that names the place and the remedy, and without a panic.
#[track_caller]
pub fn says_what_to_do(finished: &Finished, setup: &Setup, advice: &str) {
    let output = &finished.output;
    assert_eq!(finished.status.code(), Some(START_FAILED), "{output}");
    assert!(output.contains(&*setup.data_dir().to_string_lossy()), "which directory: {output}");
    assert!(output.contains(advice), "{advice}: {output}");
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!output.contains(word), "{output}");
    }
}
