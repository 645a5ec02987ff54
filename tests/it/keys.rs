//! `onceward keys`, with a server and without.

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

fn with_shop() -> Setup {
    Setup::new().config("services", json!({"shop": {"friendly-name": "Acme Shop"}}))
}

fn sids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| text(line, "sid")).collect()
}
