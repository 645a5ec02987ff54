//! What a server shows to whom: open routes, the simulator's inbox, the account's token, webhooks, files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Client, Finished, OWN_ACCOUNT, OWN_TOKEN, Says, Server, Setup, V2, World, basic, soon, through, until,
};

/// The configuration is wrong (`EX_USAGE`).
const WRONG_SETTINGS: Option<i32> = Some(64);
/// It could not be done (`EX_SOFTWARE`).
const FAILED: Option<i32> = Some(70);

const OPEN: &str = "routes open without a credential";
const CLOSED: &str = "all routes require a credential";

#[tokio::test]
async fn a_service_that_had_a_key_asks_for_one_until_the_operator_allows_it() {
    let World { twilio, setup, server, numbers } = World::new().await;
    assert_eq!(open_routes(&server).await, "/api/*, /send-code, /verify-code");
    let key = made(&setup, &["--service", "default"]).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401);
    setup.command(["keys", "revoke", text(&key, "sid")]).await.exits(0);
    for (path, body) in [
        ("/api/send-otp", r#"{"phoneNumber":"+14155550123"}"#),
        ("/api/verify-otp", r#"{"user":{"phoneNumber":"+14155550123"},"code":"123456"}"#),
        ("/send-code", r#"{"phoneNumber":"+14155550123"}"#),
        ("/verify-code", r#"{"phoneNumber":"+14155550123","smsCode":"123456"}"#),
    ] {
        assert_eq!(server.client.post(path, body).await.status(), 401, "{path}");
    }

    let (server, _) = setup.restart(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "after a restart too");
    said(&server, CLOSED).await;
    let server = setup.restart_after_kill(server).await;
    assert_eq!(server.client.send(&numbers.next()).await.status(), 401, "and after a crash");
    assert!(twilio.received().is_empty(), "nothing was sent");
    server.stop().await;

    for command in [
        &["export", "--out", "all.jsonl"][..],
        &["import", "all.jsonl", "--data-dir", "other", "--drop-codes"],
    ] {
        setup.command(command.iter().copied()).await.exits(0);
    }
    let moved = setup.clone().args(["--data-dir", "other"]).start().await;
    assert_eq!(moved.client.send(&numbers.next()).await.status(), 401, "and on another machine");
    drop(moved);

    let allowed = setup.config("allow-unauthenticated", true).start().await;
    assert_eq!(allowed.client.send(&numbers.next()).await.status(), 200);
}

#[tokio::test]
async fn a_start_warns_of_open_routes_that_send_real_messages() {
    let World { setup, server, twilio, .. } = World::new().await;
    let line = said(&server, OPEN).await;
    assert_eq!(line["level"], "WARN", "{line}");
    for (field, part) in [("risk", "at your cost"), ("remedy", "onceward keys create --service default")] {
        assert!(text(&line, field).contains(part), "no {part:?} in {line}");
    }
    made(&setup, &["--service", "default"]).await;
    let (server, _) = setup.restart(server).await;
    assert_eq!(said(&server, CLOSED).await["level"], "INFO", "the remedy works");
    drop(server);

    let allowed = setup.config("allow-unauthenticated", true).start().await;
    let line = said(&allowed, OPEN).await;
    assert!(text(&line, "remedy").contains("allow-unauthenticated"), "{line}");
    drop(allowed);

    let simulator = Setup::new().start().await;
    assert_eq!(said(&simulator, OPEN).await["level"], "INFO", "nothing leaves the machine");
    drop(simulator);

    let both = through(&twilio.base_url(), Setup::new()).config("otp-sms-provider", "Twilio;Simulator:+49");
    made(&both, &["--service", "default"]).await;
    let line = said(&both.start().await, OPEN).await;
    assert_eq!((&line["level"], text(&line, "routes")), (&"WARN".into(), "/inbox"), "{line}");
    assert!(text(&line, "risk").contains("read"), "{line}");
}

#[tokio::test]
async fn in_production_a_key_is_asked_for_on_loopback_too() {
    let twilio = World::new().await.twilio;
    let setup = through(&twilio.base_url(), Setup::bare())
        .config("production", true)
        .config("prod-domain", "127.0.0.1:0")
        .args(["--log-format", "json"]);
    setup.run().await.exits(WRONG_SETTINGS).says([
        "a proxy is in front",
        "onceward keys create",
        "allow-unauthenticated",
        "prod-domain",
    ]);

    let key = made(&setup, &["--service", "default"]).await;
    let server = setup.start().await;
    said(&server, CLOSED).await;
    let body = r#"{"phoneNumber":"+14155550123"}"#;
    assert_eq!(server.client.post("/api/send-otp", body).await.status(), 401);
    let authorization = basic(text(&key, "sid"), text(&key, "secret"));
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(server.client.post_with("/api/send-otp", &headers, body).await.status(), 200);
    drop(server);

    let allowed = setup.config("allow-unauthenticated", true).start().await;
    assert_eq!(allowed.client.post("/api/send-otp", body).await.status(), 200);
}

#[tokio::test]
async fn without_a_key_a_page_under_a_name_of_its_own_reaches_no_route() {
    let world = World::new().await;
    let number = world.number();
    let statuses = async |client: &Client, host: &str| {
        let check = json!({ "user": { "phoneNumber": number }, "code": "0" });
        let mut statuses = Vec::new();
        for (path, body) in [
            ("/api/verify-otp", check),
            ("/verify-code", json!({ "phoneNumber": number, "smsCode": "0" })),
            ("/api/send-otp", json!({})),
            ("/send-code", json!({})),
        ] {
            let headers = [("host", host), ("content-type", "application/json")];
            statuses.push(client.post_with(path, &headers, body.to_string()).await.status());
        }
        statuses
    };
    let (refused, served) = (vec![403; 4], vec![401, 400, 400, 400]);
    for host in ["evil.example", "localhost.evil.example:3000"] {
        assert_eq!(statuses(&world.server.client, host).await, refused, "{host}");
    }
    for host in ["localhost:3000", "127.0.0.1", "[::1]:3000"] {
        assert_eq!(statuses(&world.server.client, host).await, served, "{host}");
    }
    world.server.stop().await;
    let allowed = world.setup.clone().config("allow-unauthenticated", true).start().await;
    assert_eq!(statuses(&allowed.client, "codes.example").await, served);
}

#[tokio::test]
async fn a_first_start_that_is_refused_makes_no_files() {
    let reachable = Setup::new().args(["--listen", "0.0.0.0:0"]).config("simulator-in-production", true);
    let number = json!({ "pattern": "+14155550123", "code": "123456", "expires": "9999-12-31" });
    let lasting = Setup::new().config("services", json!({ "shop": { "test-numbers": [number] } }));
    for (setup, reason) in [(reachable, "allow-unauthenticated"), (lasting, "more than a year from now")] {
        let refused = setup.run().await.exits(WRONG_SETTINGS);
        assert!(refused.output.contains(reason), "{}", refused.output);
        assert!(!setup.data_dir().exists(), "{}", refused.output);
    }

    let setup = Setup::new();
    fs::create_dir_all(setup.data_dir()).expect("a directory");
    write_account(&setup, "ONCEWARD_AUTH_TOKEN=short\n");
    let refused = setup.run().await.exits(FAILED);
    assert_eq!(fs::read_dir(setup.data_dir()).expect("a directory").count(), 1, "{}", refused.output);
}

#[tokio::test]
async fn an_inbox_that_others_reach_asks_for_the_credentials_of_an_operator() {
    let setup = Setup::new()
        .args(["--listen", "0.0.0.0:0"])
        .config("allow-unauthenticated", true)
        .config("simulator-in-production", true);
    let setup = V2::account(setup);
    let server = setup.start().await;
    assert_eq!(open_routes(&server).await, "/api/*, /send-code, /verify-code");
    assert_eq!(server.client.send("+14155550123").await.status(), 200);
    let admin = made(&setup, &["--scope", "admin"]).await;
    let verify = made(&setup, &["--scope", "verify"]).await;
    let of_one = made(&setup, &["--scope", "admin", "--service", "default"]).await;
    let of = |key: &Value| Some(basic(text(key, "sid"), text(key, "secret")));
    for (caller, page, unknown) in [
        (None, 401, 401),
        (Some(basic(OWN_ACCOUNT, "wrong")), 401, 401),
        (of(&verify), 403, 403),
        (of(&of_one), 403, 403),
        (of(&admin), 200, 404),
        (Some(basic(OWN_ACCOUNT, OWN_TOKEN)), 200, 404),
    ] {
        let headers: Vec<_> = caller.iter().map(|caller| ("authorization", caller.as_str())).collect();
        for (path, status) in [
            ("/inbox", page),
            ("/inbox/", page),
            ("/inbox/messages", page),
            ("/inbox/messages?to=%2B14155550123", page),
            ("/inbox/unknown", unknown),
        ] {
            let answer = server.client.request_with(hyper::Method::GET, path, &headers, "").await;
            assert_eq!(answer.status(), status, "{path}: {}", answer.text());
            assert_eq!(answer.text().contains("14155550123"), status == 200);
            if status == 401 {
                assert!(answer.header("www-authenticate").starts_with("Basic"), "a browser asks its user");
            }
        }
        if page != 200 {
            let events = server.client.request_with(hyper::Method::GET, "/inbox/events", &headers, "").await;
            assert_eq!(events.status(), page);
        }
    }
}

#[tokio::test]
async fn on_loopback_the_inbox_is_open_and_the_start_says_it() {
    let server = Setup::new().start().await;
    assert_eq!(server.client.get("/inbox/messages").await.status(), 200);
    assert_eq!(open_routes(&server).await, "/api/*, /send-code, /verify-code, /inbox");
}

#[tokio::test]
async fn the_first_start_writes_the_account_to_a_file_and_not_to_the_log() {
    let setup = Setup::new().args(["--log-level", "trace"]);
    let server = setup.start().await;
    let (account, token) = account(&setup.data_dir());
    assert!(account.starts_with("AC") && account.len() == 34 && token.len() == 32);
    assert_eq!(mode(&file(&setup)), 0o600);
    assert_eq!(status(&server, &account, &token).await, 200);
    let created =
        server.output().events().into_iter().find(|line| line["message"] == "account credentials created");
    assert_eq!(created.expect("it is logged")["file"], file(&setup).to_str().expect("a path"));

    let (server, first) = setup.restart(server).await;
    assert_eq!(status(&server, &account, &token).await, 200, "a restart keeps the token");
    assert_eq!(self::account(&setup.data_dir()), (account.clone(), token.clone()));
    fs::remove_file(file(&setup)).expect("removed");
    let (server, second) = setup.restart(server).await;
    assert_eq!(status(&server, &account, &token).await, 200, "without the file too");
    assert!(!file(&setup).exists(), "only the hash is left");
    let third = server.stop().await;
    for Finished { output, .. } in [first, second, third] {
        assert!(!output.contains(&token), "{output}");
    }
}

#[tokio::test]
async fn a_token_that_is_in_the_file_alone_is_the_accounts() {
    let setup = Setup::new();
    let (sid, token) = (format!("AC{}", "1".repeat(32)), "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    fs::create_dir_all(setup.data_dir()).expect("a directory");
    // A crash has come between the file and the store.
    write_account(&setup, &format!("ONCEWARD_ACCOUNT_SID={sid}\nONCEWARD_AUTH_TOKEN={token}\n"));
    let server = setup.start().await;
    assert_eq!(status(&server, &sid, token).await, 200);
    server.stop().await;

    let other = "an-operators-own-token";
    write_account(&setup, &format!("ONCEWARD_ACCOUNT_SID={sid}\nONCEWARD_AUTH_TOKEN={other}\n"));
    fs::set_permissions(file(&setup), Permissions::from_mode(0o644)).expect("its mode");
    let server = setup.start().await;
    assert_eq!((status(&server, &sid, other).await, status(&server, &sid, token).await), (200, 401));
    let warned =
        |line: &Value| line["message"] == "account credentials readable by other users; run chmod 600 on it";
    assert!(server.output().events().iter().any(warned));
    server.signal(Signal::TERM);
    assert!(!server.ended().await.output.contains(other));

    write_account(&setup, "ONCEWARD_AUTH_TOKEN=short\n");
    let refused = setup.run().await;
    assert_eq!(refused.status.code(), FAILED);
    assert!(refused.output.contains("account.env does not hold"), "{}", refused.output);
    assert!(!refused.output.contains("short"), "{}", refused.output);
}

#[tokio::test]
async fn a_new_token_is_in_the_file_with_and_without_a_server() {
    let setup = Setup::new();
    let server = setup.start().await;
    let first = account(&setup.data_dir());
    assert_eq!(setup.command(["keys", "root", "--new"]).await.status.code(), Some(0));
    let second = account(&setup.data_dir());
    assert_eq!((&first.0, first.1 == second.1), (&second.0, false), "the account stays, the token does not");
    assert_eq!(status(&server, &second.0, &second.1).await, 200);
    assert_eq!(status(&server, &first.0, &first.1).await, 401);
    server.stop().await;
    let shown = setup.command(["keys", "root", "--new"]).await;
    let third = account(&setup.data_dir());
    assert!(shown.output.contains(&third.1) && shown.output.contains("account.env"), "{}", shown.output);
    assert_eq!(mode(&file(&setup)), 0o600);
    let server = setup.start().await;
    assert_eq!(status(&server, &third.0, &third.1).await, 200);
    assert_eq!(status(&server, &second.0, &second.1).await, 401);
}

#[tokio::test]
async fn a_webhook_on_this_machine_is_refused_unless_it_is_allowed() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let world = World::of(V2::account(Setup::new())).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "10.0.0.1"] {
        assert_eq!(error_of_event(&world, &format!("http://{host}:{port}/")).await, "address", "{host}");
    }
    listener.set_nonblocking(true).expect("set");
    assert!(listener.accept().is_err(), "there was no connection");
}

#[tokio::test]
async fn no_option_lets_a_webhook_reach_the_metadata_of_a_cloud() {
    let setup = V2::account(Setup::new().config("webhook-private-addresses", true));
    let world = World::of(setup).await;
    for host in [
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "[64:ff9b:1::a9fe:a9fe]",
        "[64:ff9b::a83f:8110]",
        "[::a9fe:a9fe]",
        "[::ffff:168.63.129.16]",
    ] {
        assert_eq!(error_of_event(&world, &format!("http://{host}/")).await, "address", "{host}");
    }
}

#[tokio::test]
async fn a_server_key_that_others_can_read_is_said_wherever_it_is() {
    const MESSAGE: &str = "server key readable by every user; run chmod o= on it";
    let setup = Setup::new().file("key", "ab".repeat(32)).env("ONCEWARD_KEY_FILE", "key");
    let path = setup.home().join("key");
    for (mode, expected) in [(0o644, true), (0o640, false), (0o600, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        let server = setup.start().await;
        let said = server.output().events().iter().any(|line| line["message"] == MESSAGE);
        assert_eq!(said, expected, "{mode:o}");
        server.stop().await;
    }
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
async fn a_second_revocation_says_that_the_key_was_revoked_before() {
    let setup = Setup::new();
    let key = made(&setup, &[]).await;
    let revoke = || setup.command(["keys", "revoke", text(&key, "sid")]);
    let (first, second) = (revoke().await, revoke().await);
    assert_eq!((first.status.code(), second.status.code()), (Some(0), Some(0)));
    assert!(!first.output.contains("was revoked before"), "{}", first.output);
    assert!(second.output.contains("was revoked before"), "{}", second.output);
    let json = setup.command(["keys", "revoke", text(&key, "sid"), "--json"]).await;
    assert!(json.output.contains(r#""already_revoked":true"#), "{}", json.output);
}

#[tokio::test]
async fn root_leaves_no_files_in_the_directory_of_another_user() {
    const OTHER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        println!(
            "SKIPPED: root_leaves_no_files_in_the_directory_of_another_user: only root can give files away"
        );
        return;
    }
    let setup = Setup::new();
    setup.command(["keys", "create", "--name", "web"]).await.exits(0);
    each(&setup.data_dir(), &mut |path| {
        std::os::unix::fs::lchown(path, Some(OTHER), Some(OTHER)).expect("given away");
    });
    let listed = setup.command(["keys", "list"]).await;
    assert_eq!(listed.status.code(), Some(0), "it only reads: {}", listed.output);
    for command in [&["keys", "create"][..], &["keys", "root", "--new"], &["import", "none"]] {
        setup.command(command.iter().copied()).await.exits(FAILED).says(["belongs to another user (65534)"]);
    }
    each(&setup.data_dir(), &mut |path| {
        assert_eq!(fs::symlink_metadata(path).expect("a file").uid(), OTHER, "{}", path.display());
    });
}

/// The routes that a start says to be open.
async fn open_routes(server: &Server) -> String {
    text(&said(server, OPEN).await, "routes").to_owned()
}

/// The line with this message.
async fn said(server: &Server, message: &str) -> Value {
    let line = server.output().event(|line| line["message"] == message);
    soon(message, line).await.expect("the line")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

/// A key, as `onceward keys create --json` shows it.
async fn made(setup: &Setup, options: &[&str]) -> Value {
    let arguments = ["keys", "create", "--json"].iter().chain(options).copied();
    let made = setup.command(arguments).await;
    made.output.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a key")
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

/// The account's sid and auth token, as a shell reads them.
fn account(data_dir: &Path) -> (String, String) {
    let text = fs::read_to_string(data_dir.join("account.env")).expect("the file");
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a line").to_owned();
    (value("ONCEWARD_ACCOUNT_SID="), value("ONCEWARD_AUTH_TOKEN="))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o777
}

/// Visits a directory and everything in it.
fn each(path: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            each(&entry.expect("an entry").path(), visit);
        }
    }
}

/// The error of the first attempt to deliver an event to a new webhook with this address.
async fn error_of_event(world: &World, url: &str) -> String {
    let v2 = V2::of(world);
    let service = v2.service(&[]).await;
    let hook = [("FriendlyName", "all"), ("EventTypes", "verification.created"), ("WebhookUrl", url)];
    let hook = v2.made(&format!("{service}/Webhooks"), &hook).await;
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
    let path = format!("{service}/Webhooks/{hook}/Deliveries");
    let error = || async {
        let deliveries = v2.get(&path).await.json();
        deliveries["deliveries"][0]["attempts"][0]["error"].as_str().map(str::to_owned)
    };
    until("an attempt", error, Option::is_some).await.expect("an error")
}
