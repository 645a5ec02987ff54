//! What a server shows to whom: routes that need no credential, the account's token, files, the control socket.

use std::fs;
use std::process::Command;

use crate::support::prelude::*;

#[tokio::test]
async fn routes_that_a_key_closed_stay_closed_after_a_crash_and_a_move() {
    let World { doubles: twilio, setup, server, numbers } = World::new().await;
    let open = server.line("routes open without a credential").await;
    assert_eq!(open["routes"], "/api/*, /send-code, /verify-code");
    let made = setup.command(["keys", "create", "--service", "default"]).await;
    made.says(["From now on /api/*, /send-code and /verify-code need a key"]);
    let key = setup.new_key(&["--service", "default"]).await;
    assert_eq!(key["closes_routes"], Value::Null, "they were closed before");
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401);
    let server = setup.restart_after_kill(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "after a crash too");
    server.line("all routes require a credential").await;
    assert!(twilio.received().is_empty(), "nothing was sent");
    server.stop().await;

    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    import(&setup, "all.jsonl", "other").await.exits(0);
    let moved = setup.clone().args(["--data-dir", "other"]).start().await;
    assert_eq!(moved.client.send(&numbers.next()).await.status(), 401, "and on another machine");
}

#[tokio::test]
async fn a_token_is_in_a_file_and_not_in_the_log_and_a_new_one_replaces_it() {
    let setup = Setup::new().args(["--log-level", "trace"]);
    let server = setup.start().await;
    let first = setup.created_account();
    assert!(first.0.starts_with("AC") && first.0.len() == 34 && first.1.len() == 32);
    assert_eq!(found(&setup, &["-name", "account.env", "-perm", "600"]).len(), 1);
    let file = setup.data_dir().join("account.env");
    let created = server.line("account credentials created").await;
    assert_eq!(text(&created, "file"), file.to_str().expect("a path"));
    fs::remove_file(&file).expect("removed");
    let ended = server.stop().await;
    let server = setup.start().await;
    assert_eq!(status(&server, &first).await, 200, "a restart keeps the token, without the file too");
    for path in ["/local/Messages", "/local/Keys"] {
        let credentials = [("authorization", &*basic(&first.0, &first.1))];
        server.client.get_with(path, &credentials).await.expects_status(404);
    }
    assert!(!file.exists(), "only the hash is left");

    setup.command(["keys", "root", "--new"]).await.exits(0);
    let second = setup.created_account();
    assert_eq!((&first.0, first.1 == second.1), (&second.0, false), "the account stays, the token does not");
    assert_eq!((status(&server, &first).await, status(&server, &second).await), (401, 200));
    let output = ended.output + &server.stop().await.output;
    assert!(!output.contains(&first.1) && !output.contains(&second.1), "{output}");

    // Without a server.
    let shown = setup.command(["keys", "root", "--new"]).await;
    let third = setup.created_account();
    shown.says([&third.1, "account.env"]);
    let server = setup.start().await;
    assert_eq!((status(&server, &second).await, status(&server, &third).await), (401, 200));
}

#[tokio::test]
async fn no_file_of_the_data_directory_is_readable_by_others() {
    let world = World::new().await;
    for _ in 0..3 {
        world.number_with_code().await;
    }
    let (world, _) = world.restart().await;
    assert!(found(&world.setup, &[]).len() > 8);
    assert_eq!(found(&world.setup, &["-perm", "/077"]), [""; 0]);
}

#[tokio::test]
async fn root_leaves_no_files_in_the_directory_of_another_user() {
    const OTHER: &str = "65534";
    if !rustix::process::geteuid().is_root() {
        return println!("SKIPPED: only root can give files away");
    }
    let setup = Setup::new();
    setup.new_key(&[]).await;
    let given = Command::new("chown").args(["-R", OTHER]).arg(setup.data_dir()).status();
    assert!(given.expect("chown").success());
    // It only reads.
    setup.command(["check-data"]).await.exits(0);
    for command in
        [&["keys", "list"][..], &["keys", "create"], &["keys", "root", "--new"], &["import", "none"]]
    {
        setup.command(command.iter().copied()).await.exits(70).says(["belongs to another user (65534)"]);
    }
    assert_eq!(found(&setup, &["-not", "-uid", OTHER]), [""; 0]);
}

/// The status of a request with these credentials of the account.
async fn status(server: &Server, (account, token): &(String, String)) -> u16 {
    V2::with_key(&server.client, account, token).get("/Services").await.status()
}

/// What the tool `find` finds in the data directory.
fn found(setup: &Setup, conditions: &[&str]) -> Vec<String> {
    let ran = Command::new("find").arg(setup.data_dir()).args(conditions).output().expect("find");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect()
}
