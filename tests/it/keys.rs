//! `onceward keys`, with a server and without, and the account's credentials.

use crate::support::prelude::*;

#[tokio::test]
async fn keys_are_made_listed_and_revoked_while_a_server_runs() {
    let setup = with_shop();
    let server = setup.start().await;
    let shop = setup.new_key(&["--service", "shop", "--name", "web"]).await;
    let all = setup.new_key(&["--scope", "admin", "--scope", "verify"]).await;
    assert_eq!(shop["service_name"], "Acme Shop");
    assert_eq!((&all["service_sid"], &all["scopes"]), (&Value::Null, &json!(["verify", "admin"])));
    let secret = text(&shop, "secret");
    // Twilio's library for Go sends no others.
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));

    let listed = setup.command(["keys", "list", "--json"]).await.json();
    assert_eq!(sids(&listed), [text(&all, "sid"), text(&shop, "sid")], "the newest first");
    assert!(listed.iter().all(|line| line.get("secret").is_none()), "never again");

    let revoked = setup.command(["keys", "revoke", text(&shop, "sid"), "--json"]).await.json();
    assert!(revoked[0]["revoked"].is_string());
    let finished = server.stop().await.exits(0);
    assert!(!finished.output.contains(secret));
    for event in ["API key created", "API key revoked"] {
        let is_logged = |line: &Value| line["message"] == event && line["key"] == shop["sid"];
        assert!(finished.json().iter().any(is_logged), "{event}: {}", finished.output);
    }

    let later = setup.command(["keys", "list", "--json"]).await.json();
    assert_eq!(sids(&later), sids(&listed), "without a server too");
    assert_eq!(later[1]["revoked"], revoked[0]["revoked"]);
}

#[tokio::test]
async fn a_person_reads_what_was_done_and_a_secret_once() {
    let setup = with_shop();
    setup.command(["keys", "list"]).await.exits(70).says(["no data directory"]);
    assert!(!setup.data_dir().exists(), "looking makes nothing");
    let made = setup.command(["keys", "create", "--service", "shop", "--name", "web shop"]).await.exits(0);
    made.says(["id:     SK", "secret: ", "service Acme Shop (VA", "verify", "not shown again"]);
    let list = setup.command(["keys", "list"]).await;
    list.says(["SID", "LAST_USED", "Acme Shop", "web shop", "verify"]);
    let id = &made.output.split_once("id:     ").expect("an id").1[..34];
    setup.command(["keys", "revoke", id]).await.says([format!("{id} is refused since")]);
    setup.command(["keys", "revoke", id]).await.exits(0).says([format!("{id} was revoked before")]);
}

#[tokio::test]
async fn what_cannot_be_done_with_keys_is_said_and_exits_with_another_code() {
    let setup = with_shop();
    let unknown = format!("SK{}", "0".repeat(32));
    for (arguments, code, words) in [
        (&["keys", "create", "--service", "nowhere"][..], 70, "no service \"nowhere\""),
        (&["keys", "create", "--name", ""], 70, "1 to 64 characters"),
        (&["keys", "revoke", &unknown], 70, "no such API key"),
        (&["keys", "create", "--scope", "all"], 64, "verify, admin"),
        (&["keys", "root"], 64, "--new"),
        (&["keys"], 64, "create"),
    ] {
        setup.command(arguments.iter().copied()).await.exits(code).says([words]);
    }
    let wrong = setup.config("services", json!({"shop": {"code-length": 2}}));
    wrong.command(["keys", "list"]).await.exits(64).says(["services.shop.code-length"]);
}

#[tokio::test]
async fn an_account_that_the_environment_gives_is_neither_shown_nor_replaced() {
    let setup = V2::account(Setup::new());
    let server = setup.start().await;
    setup.command(["keys", "root", "--new"]).await.exits(70).says(["ONCEWARD_AUTH_TOKEN"]);
    assert!(!server.stop().await.output.contains(OWN_TOKEN));
    assert!(!setup.data_dir().join("account.env").exists());
}

fn with_shop() -> Setup {
    Setup::new().config("services", json!({"shop": {"friendly-name": "Acme Shop"}}))
}

fn sids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| text(line, "sid")).collect()
}
