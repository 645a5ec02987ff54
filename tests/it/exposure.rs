//! What a server shows to whom: routes that need no credential, the account's token, files, the control socket.

use std::fs;
use std::process::Command;

use crate::support::prelude::*;

const OPEN: &str = "routes open without a credential";
const CLOSED: &str = "all routes require a credential";

#[tokio::test]
async fn routes_that_a_key_closed_stay_closed_after_a_crash_and_a_move() {
    let World { doubles: twilio, setup, server, numbers } = World::new().await;
    assert_eq!(server.line(OPEN).await["routes"], "/api/*, /send-code, /verify-code");
    let made = setup.command(["keys", "create", "--service", "default"]).await;
    made.says(["From now on /api/*, /send-code and /verify-code need a key"]);
    let key = setup.new_key(&["--service", "default"]).await;
    assert_eq!(key["closes_routes"], Value::Null, "they were closed before");
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401);
    let server = setup.restart_after_kill(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "after a crash too");
    server.line(CLOSED).await;
    assert!(twilio.received().is_empty(), "nothing was sent");
    server.stop().await;

    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    import(&setup, "all.jsonl", "other").await.exits(0);
    let moved = setup.clone().args(["--data-dir", "other"]).start().await;
    assert_eq!(moved.client.send(&numbers.next()).await.status(), 401, "and on another machine");
}

#[tokio::test]
async fn a_first_start_that_is_refused_makes_no_files() {
    let reachable = Setup::new().args(["--listen", "0.0.0.0:0"]).config("simulator-in-production", true);
    reachable.run().await.exits(64).says(["allow-unauthenticated"]);
    assert!(!reachable.data_dir().exists());
}

#[tokio::test]
async fn the_first_start_writes_the_account_to_a_file_and_not_to_the_log() {
    let setup = Setup::new().args(["--log-level", "trace"]);
    let server = setup.start().await;
    let account = setup.created_account();
    let (sid, token) = &account;
    assert!(sid.starts_with("AC") && sid.len() == 34 && token.len() == 32);
    assert_eq!(found(&setup, &["-name", "account.env", "-perm", "600"]).len(), 1);
    assert_eq!(status(&server, &account).await, 200);
    let created = server.line("account credentials created").await;
    assert_eq!(text(&created, "file"), file(&setup).to_str().expect("a path"));

    fs::remove_file(file(&setup)).expect("removed");
    let (server, first) = setup.restart(server).await;
    assert_eq!(status(&server, &account).await, 200, "a restart keeps the token, without the file too");
    assert!(!file(&setup).exists(), "only the hash is left");
    let output = first.output + &server.stop().await.output;
    assert!(!output.contains(token), "{output}");
}

#[tokio::test]
async fn a_new_token_is_in_the_file_with_and_without_a_server() {
    let setup = Setup::new();
    let server = setup.start().await;
    let first = setup.created_account();
    setup.command(["keys", "root", "--new"]).await.exits(0);
    let second = setup.created_account();
    assert_eq!((&first.0, first.1 == second.1), (&second.0, false), "the account stays, the token does not");
    assert_eq!(status(&server, &second).await, 200);
    assert_eq!(status(&server, &first).await, 401);
    server.stop().await;
    let shown = setup.command(["keys", "root", "--new"]).await;
    let third = setup.created_account();
    shown.says([&third.1, "account.env"]);
    let server = setup.start().await;
    assert_eq!(status(&server, &third).await, 200);
    assert_eq!(status(&server, &second).await, 401);
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

fn file(setup: &Setup) -> std::path::PathBuf {
    setup.data_dir().join("account.env")
}

/// What the tool `find` finds in the data directory.
fn found(setup: &Setup, conditions: &[&str]) -> Vec<String> {
    let ran = Command::new("find").arg(setup.data_dir()).args(conditions).output().expect("find");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_socket_serves_every_route_and_its_own_without_a_credential() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    for (path, status, part) in [
        ("/v2/Services", 200, "Owl Bank"),
        ("/readyz", 200, "ready"),
        ("/local/Messages", 200, "[]"),
        ("/local/Services/unknown", 400, "no service"),
    ] {
        let answer = world.server.ask_control_socket(path).await.expect("an answer");
        answer.expects_status(status).says([part]);
    }

    // Not with the account's credentials either.
    let account = [("authorization", &*basic(OWN_ACCOUNT, OWN_TOKEN))];
    for path in ["/local/Messages", "/local/Keys"] {
        world.get_with(path, &account).await.expects_status(404);
    }
}
