//! What a server shows to whom: open routes, the simulator's inbox, the account's token, webhooks, files, the control socket.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::prelude::*;

const OPEN: &str = "routes open without a credential";
const CLOSED: &str = "all routes require a credential";

#[tokio::test]
async fn a_service_that_had_a_key_asks_for_one_until_the_operator_allows_it() {
    let World { doubles: twilio, setup, server, numbers } = World::new().await;
    assert_eq!(server.line(OPEN).await["routes"], "/api/*, /send-code, /verify-code");
    let key = setup.new_key(&["--service", "default"]).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401);
    setup.command(["keys", "revoke", text(&key, "sid")]).await.exits(0);
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "revoked");

    let (server, _) = setup.restart(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "after a restart too");
    server.line(CLOSED).await;
    let server = setup.restart_after_kill(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "and after a crash");
    assert!(twilio.received().is_empty(), "nothing was sent");
    server.stop().await;

    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    setup.command(["import", "all.jsonl", "--data-dir", "other", "--drop-codes"]).await.exits(0);
    let moved = setup.clone().args(["--data-dir", "other"]).start().await;
    assert_eq!(moved.client.send(&numbers.next()).await.status(), 401, "and on another machine");
    drop(moved);

    let allowed = setup.config("allow-unauthenticated", true).start().await;
    assert_eq!(allowed.client.send(&numbers.next()).await.status(), 200);
}

#[tokio::test]
async fn a_first_start_that_is_refused_makes_no_files() {
    let reachable = Setup::new().args(["--listen", "0.0.0.0:0"]).config("simulator-in-production", true);
    let number = json!({ "pattern": "+14155550123", "code": "123456", "expires": "9999-12-31" });
    let lasting = Setup::new().config("services", json!({ "shop": { "test-numbers": [number] } }));
    for (setup, reason) in [(reachable, "allow-unauthenticated"), (lasting, "more than a year from now")] {
        setup.run().await.exits(64).says([reason]);
        assert!(!setup.data_dir().exists(), "{reason}");
    }

    let setup = Setup::new();
    fs::create_dir_all(setup.data_dir()).expect("a directory");
    write_account(&setup, "ONCEWARD_AUTH_TOKEN=short\n");
    let refused = setup.run().await.exits(70);
    assert_eq!(fs::read_dir(setup.data_dir()).expect("a directory").count(), 1, "{}", refused.output);
}

#[tokio::test]
async fn the_first_start_writes_the_account_to_a_file_and_not_to_the_log() {
    let setup = Setup::new().args(["--log-level", "trace"]);
    let server = setup.start().await;
    let (sid, token) = setup.created_account();
    assert!(sid.starts_with("AC") && sid.len() == 34 && token.len() == 32);
    assert_eq!(mode(&file(&setup)), 0o600);
    assert_eq!(status(&server, &sid, &token).await, 200);
    let created = server.line("account credentials created").await;
    assert_eq!(text(&created, "file"), file(&setup).to_str().expect("a path"));

    let (server, first) = setup.restart(server).await;
    assert_eq!(status(&server, &sid, &token).await, 200, "a restart keeps the token");
    assert_eq!(setup.created_account(), (sid.clone(), token.clone()));
    fs::remove_file(file(&setup)).expect("removed");
    let (server, second) = setup.restart(server).await;
    assert_eq!(status(&server, &sid, &token).await, 200, "without the file too");
    assert!(!file(&setup).exists(), "only the hash is left");
    let third = server.stop().await;
    for Finished { output, .. } in [first, second, third] {
        assert!(!output.contains(&token), "{output}");
    }
}

#[tokio::test]
async fn a_new_token_is_in_the_file_with_and_without_a_server() {
    let setup = Setup::new();
    let server = setup.start().await;
    let first = setup.created_account();
    setup.command(["keys", "root", "--new"]).await.exits(0);
    let second = setup.created_account();
    assert_eq!((&first.0, first.1 == second.1), (&second.0, false), "the account stays, the token does not");
    assert_eq!(status(&server, &second.0, &second.1).await, 200);
    assert_eq!(status(&server, &first.0, &first.1).await, 401);
    server.stop().await;
    let shown = setup.command(["keys", "root", "--new"]).await;
    let third = setup.created_account();
    shown.says([&third.1, "account.env"]);
    assert_eq!(mode(&file(&setup)), 0o600);
    let server = setup.start().await;
    assert_eq!(status(&server, &third.0, &third.1).await, 200);
    assert_eq!(status(&server, &second.0, &second.1).await, 401);
}

#[tokio::test]
async fn no_file_of_the_data_directory_is_readable_by_others() {
    let world = World::new().await;
    for _ in 0..3 {
        world.number_with_code().await;
    }
    let (world, _) = world.restart().await;
    let mut files = 0;
    each(&world.setup.data_dir(), &mut |path| {
        files += 1;
        assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
    });
    assert!(files > 8, "{files}");
}

#[tokio::test]
async fn root_leaves_no_files_in_the_directory_of_another_user() {
    const OTHER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return println!("SKIPPED: only root can give files away");
    }
    let setup = Setup::new();
    setup.new_key(&[]).await;
    each(&setup.data_dir(), &mut |path| {
        std::os::unix::fs::lchown(path, Some(OTHER), Some(OTHER)).expect("given away");
    });
    // It only reads.
    setup.command(["keys", "list"]).await.exits(0);
    for command in [&["keys", "create"][..], &["keys", "root", "--new"], &["import", "none"]] {
        setup.command(command.iter().copied()).await.exits(70).says(["belongs to another user (65534)"]);
    }
    each(&setup.data_dir(), &mut |path| {
        assert_eq!(fs::symlink_metadata(path).expect("a file").uid(), OTHER, "{}", path.display());
    });
}

/// The status of a request with the account's credentials.
async fn status(server: &Server, account: &str, token: &str) -> u16 {
    V2::with_key(&server.client, account, token).get("/Services").await.status()
}

fn file(setup: &Setup) -> std::path::PathBuf {
    setup.data_dir().join("account.env")
}

fn write_account(setup: &Setup, text: &str) {
    fs::write(file(setup), text).expect("written");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o777
}

fn each(path: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            each(&entry.expect("an entry").path(), visit);
        }
    }
}

#[tokio::test]
async fn the_socket_serves_every_route_and_its_own_without_a_credential() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    for (path, status, part) in [
        ("/v2/Services", 200, "Owl Bank"),
        ("/readyz", 200, "ready"),
        ("/local/Server", 200, concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"")),
        ("/local/Webhooks", 200, "[]"),
        ("/local/Services/unknown", 400, "no service"),
    ] {
        let answer = world.server.ask_control_socket(path).await.expect("an answer");
        answer.expects_status(status).says([part]);
    }

    for path in ["/local/Server", "/local/Keys", "/local/Messages", "/local/Copy"] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    // Not with the account's credentials either.
    let account = [("authorization", &*basic(OWN_ACCOUNT, OWN_TOKEN))];
    world.get_with("/local/Keys", &account).await.expects_status(404);
    let described = world.get("/openapi.json").await.text();
    assert!(!described.contains("/local/"), "no description has them");
}
