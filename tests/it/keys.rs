//! `onceward keys`, with a server and without; the account's credentials; services of config.json.

use serde_json::{Value, json};

use crate::support::{Finished, Says, Server, Setup, soon};

/// Wrong configuration (`EX_USAGE`).
const WRONG_SETTINGS: Option<i32> = Some(64);
/// The command failed (`EX_SOFTWARE`).
const FAILED: Option<i32> = Some(70);

#[tokio::test]
async fn keys_are_made_listed_and_revoked_while_a_server_runs() {
    let setup = with_shop();
    let server = setup.start().await;
    let shop = created(&setup, &["--service", "shop", "--name", "web"]).await;
    let all = created(&setup, &["--scope", "admin", "--scope", "verify"]).await;
    assert_eq!(shop["service_name"], "Acme Shop");
    assert_eq!((&all["service_sid"], &all["scopes"]), (&Value::Null, &json!(["verify", "admin"])));
    let secret = shop["secret"].as_str().expect("shown once");
    assert_eq!(secret.len(), 64, "32 bytes in hex");
    // Twilio's library for Go sends no other.
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "letters and digits");

    let listed = lines(&setup, &["keys", "list", "--json"]).await;
    assert_eq!(sids(&listed), [sid(&all), sid(&shop)], "the newest first");
    assert!(listed.iter().all(|line| line.get("secret").is_none()), "never again");
    let of_shop = lines(&setup, &["keys", "list", "--service", "shop", "--json"]).await;
    assert_eq!(sids(&of_shop), [sid(&shop)]);

    let revoked = lines(&setup, &["keys", "revoke", &sid(&shop), "--json"]).await;
    assert!(revoked[0]["revoked"].is_string());
    let finished = server.stop().await.exits(0);
    assert!(!finished.output.contains(secret));
    for (event, key) in [("API key created", &shop), ("API key created", &all), ("API key revoked", &shop)] {
        let is_logged = |line: &Value| line["message"] == event && line["key"] == key["sid"];
        assert!(events(&finished).any(|line| is_logged(&line)), "{event}: {}", finished.output);
    }

    let later = lines(&setup, &["keys", "list", "--json"]).await;
    assert_eq!(sids(&later), sids(&listed), "without a server too");
    assert_eq!(later[1]["revoked"], revoked[0]["revoked"]);
}

#[tokio::test]
async fn without_a_server_a_keys_command_changes_or_makes_the_directory() {
    let setup = with_shop();
    assert!(!setup.data_dir().exists());
    let made = created(&setup, &["--service", "shop"]).await;
    assert!(setup.data_dir().join("server.key").exists());
    let server = setup.start().await;
    let listed = lines(&setup, &["keys", "list", "--json"]).await;
    assert_eq!(sids(&listed), [sid(&made)]);
    assert_eq!(listed[0]["service_sid"], made["service_sid"], "the service's id is bound to its name");
    drop(server);
}

#[tokio::test]
async fn a_person_reads_what_was_done_and_a_secret_once() {
    let setup = with_shop();
    setup.command(["keys", "list"]).await.exits(FAILED).says(["no data directory"]);
    assert!(!setup.data_dir().exists(), "looking makes nothing");
    let made = setup.command(["keys", "create", "--service", "shop", "--name", "web shop"]).await.exits(0);
    made.says(["id:     SK", "secret: ", "service Acme Shop (VA", "verify", "not shown again"]);
    let list = setup.command(["keys", "list"]).await;
    list.says(["ID", "LAST-USED", "Acme Shop", "web shop", "verify"]);
    let id = &made.output[made.output.find("SK").expect("an id")..][..34];
    let revoked = setup.command(["keys", "revoke", id]).await;
    assert!(revoked.output.contains(&format!("{id} is refused since")), "{}", revoked.output);
}

#[tokio::test]
async fn what_cannot_be_done_with_keys_is_said_and_exits_with_another_code() {
    let setup = with_shop();
    let unknown = format!("SK{}", "0".repeat(32));
    for (arguments, code, words) in [
        (&["keys", "create", "--service", "nowhere"][..], FAILED, "no service \"nowhere\""),
        (&["keys", "create", "--name", ""], FAILED, "1 to 64 characters"),
        (&["keys", "revoke", &unknown], FAILED, "no such API key"),
        (&["keys", "revoke", "mine"], FAILED, "SK..."),
        (&["keys", "create", "--scope", "all"], WRONG_SETTINGS, "verify, admin"),
        (&["keys", "root"], WRONG_SETTINGS, "--new"),
        (&["keys"], WRONG_SETTINGS, "create"),
    ] {
        setup.command(arguments.iter().copied()).await.exits(code).says([words]);
    }
    let wrong = setup.config("services", json!({"shop": {"code-length": 2}}));
    let finished = wrong.command(["keys", "list"]).await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    assert!(finished.output.contains("services.shop.code-length"), "{}", finished.output);
}

#[tokio::test]
async fn an_export_has_the_account_without_its_token() {
    let setup = Setup::new();
    stopped(&setup).await;
    let (account, token) = in_file(&setup);
    let export = setup.command(["export", "--out", "-"]).await;
    assert!(export.output.contains(&account) && !export.output.contains(&token), "only a hash is kept");
}

#[tokio::test]
async fn the_example_request_of_a_start_has_credentials_where_they_are_required() {
    let setup = Setup::new();
    let command = async |server: &Server| {
        let is_example = |event: &Value| event["message"] == "example request";
        let line = soon("the example", server.output().event(is_example)).await.expect("a line");
        line["command"].as_str().expect("a command").to_owned()
    };
    let server = setup.start().await;
    assert!(!command(&server).await.contains("-u "), "no route requires a key");
    created(&setup, &["--service", "default"]).await;
    let (server, _) = setup.restart(server).await;
    let example = command(&server).await;
    assert!(example.starts_with("curl -u KEY:SECRET http"), "{example}");
}

#[tokio::test]
async fn a_start_removes_the_rest_of_an_interrupted_new_token() {
    let setup = Setup::new();
    stopped(&setup).await;
    let kept = in_file(&setup);
    // The file as it is between its writing and its renaming.
    let unfinished = setup.data_dir().join("account.new");
    std::fs::write(&unfinished, format!("ONCEWARD_ACCOUNT_SID={}\nONCEWARD_AUTH_TOKEN=unfinish", kept.0))
        .expect("a file");
    stopped(&setup).await;
    assert!(!unfinished.exists());
    assert_eq!(in_file(&setup), kept);
}

#[tokio::test]
async fn an_account_that_the_environment_gives_is_neither_shown_nor_replaced() {
    let token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let setup = Setup::new()
        .env("ONCEWARD_ACCOUNT_SID", format!("AC{}", "1".repeat(32)))
        .env("ONCEWARD_AUTH_TOKEN", token);
    let server = setup.start().await;
    let refused = setup.command(["keys", "root", "--new"]).await;
    assert_eq!(refused.status.code(), FAILED);
    assert!(refused.output.contains("ONCEWARD_AUTH_TOKEN"), "{}", refused.output);
    let finished = server.stop().await;
    assert!(
        !finished.output.contains(token) && !finished.output.contains("auth_token"),
        "{}",
        finished.output
    );
    assert!(!setup.data_dir().join("account.env").exists());
    let printed = setup.command(["--print-config"]).await;
    assert!(printed.output.contains("ONCEWARD_AUTH_TOKEN") && !printed.output.contains(token));
    let half = setup.without_env("ONCEWARD_AUTH_TOKEN").run().await;
    assert_eq!(half.status.code(), WRONG_SETTINGS);
    assert!(half.output.contains("Set both, or neither"), "{}", half.output);
}

#[tokio::test]
async fn a_public_address_needs_an_api_key_or_an_account_in_the_environment() {
    let setup = Setup::new()
        .args(["--listen", "0.0.0.0:0", "--log-format", "json"])
        .config("simulator-in-production", true);
    setup.run().await.exits(WRONG_SETTINGS).says([
        "listen address 0.0.0.0:0",
        "onceward keys create",
        "allow-unauthenticated",
        "--listen",
    ]);
    let checked = setup.command(["--check", "--listen", "0.0.0.0:0"]).await;
    assert_eq!(checked.status.code(), Some(0), "what the directory holds is not known here");
    assert!(checked.output.contains("only if the data directory holds an API key"), "{}", checked.output);

    let made = created(&setup, &[]).await;
    let server = setup.start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
    setup.command(["keys", "revoke", &sid(&made)]).await;
    server.stop().await;
    assert_eq!(setup.run().await.status.code(), WRONG_SETTINGS, "a revoked key is none");

    let account = setup
        .env("ONCEWARD_ACCOUNT_SID", format!("AC{}", "1".repeat(32)))
        .env("ONCEWARD_AUTH_TOKEN", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    let server = account.start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn an_export_brings_services_and_keys_to_another_machine() {
    let setup = with_shop();
    let made = created(&setup, &["--service", "shop"]).await;
    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    let key = std::fs::read(setup.data_dir().join("server.key")).expect("a key");
    std::fs::create_dir(setup.home().join("other")).expect("a directory");
    std::fs::write(setup.home().join("other/server.key"), key).expect("a key");
    setup.command(["import", "all.jsonl", "--data-dir", "other"]).await.exits(0);
    let listed = lines(&setup, &["keys", "list", "--json", "--data-dir", "other"]).await;
    assert_eq!(sids(&listed), [sid(&made)]);
    assert_eq!(listed[0]["service_sid"], made["service_sid"]);
}

fn with_shop() -> Setup {
    Setup::new().config("services", json!({"shop": {"friendly-name": "Acme Shop"}}))
}

async fn created(setup: &Setup, arguments: &[&str]) -> Value {
    let all = ["keys", "create", "--json"].iter().chain(arguments).copied().collect::<Vec<_>>();
    lines(setup, &all).await.remove(0)
}

/// The lines of JSON that a command prints. The command must succeed.
async fn lines(setup: &Setup, arguments: &[&str]) -> Vec<Value> {
    let finished = setup.command(arguments.iter().copied()).await.exits(0);
    let lines = finished.output.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Starts and stops a server, and returns its output.
async fn stopped(setup: &Setup) -> Finished {
    let server = setup.start().await;
    server.stop().await.exits(0)
}

/// The account's sid and its auth token.
fn in_file(setup: &Setup) -> (String, String) {
    let text = std::fs::read_to_string(setup.data_dir().join("account.env")).expect("the file");
    let mut values = text.lines().filter_map(|line| Some(line.split_once('=')?.1.to_owned()));
    (values.next().expect("a sid"), values.next().expect("a token"))
}

fn events(finished: &Finished) -> impl Iterator<Item = Value> {
    finished.output.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn sid(line: &Value) -> String {
    line["sid"].as_str().expect("an id").to_owned()
}

fn sids(lines: &[Value]) -> Vec<String> {
    lines.iter().map(sid).collect()
}
