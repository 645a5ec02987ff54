//! The official `twilio` packages, Twilio's own description of its answers, and schemathesis, against the real program.
//!
//! Their programs are in `tests/sdk`, in the languages of the packages. `tests/sdk/install` installs the packages below
//! `target`. Without them these tests pass without running, and `scripts/test` says so at its end; in CI they fail.

pub mod tools;

use serde_json::json;

use crate::support::{Authority, OWN_ACCOUNT, OWN_TOKEN, Setup, V2};
use tools::{Tool, Tools};

#[tokio::test]
async fn the_python_package_is_served_as_it_expects() {
    unittest("python").await;
}

#[tokio::test]
async fn the_node_package_is_served_as_it_expects() {
    run(&tools::files("node", ".test.js"), Tool::Node).await;
}

#[tokio::test]
async fn every_answer_has_exactly_the_fields_that_twilio_describes() {
    unittest("fields").await;
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    run(&["schemathesis/run.py"], Tool::Python).await;
}

#[tokio::test]
async fn an_unchanged_python_program_finds_the_server_by_twilios_name() {
    run_unchanged("python/unchanged.py", Tool::Python, 0).await;
}

#[tokio::test]
async fn an_unchanged_node_program_finds_the_server_by_twilios_name() {
    run_unchanged("node/unchanged.js", Tool::Node, 64).await;
}

/// Runs a program that knows no address but Twilio's. Its machine resolves the name to the server, and trusts the
/// authority of the server's certificate. `bit` chooses one of the process's two addresses: the port is Twilio's.
async fn run_unchanged(program: &str, tool: Tool, bit: u8) {
    let Some(tools) = Tools::find(tool) else { return };
    let Some(address) = tools::address_for_names(bit) else { return };
    let authority = Authority::new();
    let setup = V2::account(Setup::new())
        .args(["--listen".to_owned(), format!("{address}:443")])
        .file("ca.pem", &authority.pem)
        .file("hosts", format!("{address} verify.twilio.com\n127.0.0.1 localhost\n"));
    let setup = authority.issue_to(&["verify.twilio.com", &address], 2020..2090).configure(setup);
    let _server = setup.start().await;
    let ca = setup.home().join("ca.pem").to_string_lossy().into_owned();
    let inbox = format!("https://{address}/inbox/messages");
    let environment = [
        ("TWILIO_ACCOUNT_SID", OWN_ACCOUNT),
        ("TWILIO_AUTH_TOKEN", OWN_TOKEN),
        ("REQUESTS_CA_BUNDLE", &*ca),
        ("NODE_EXTRA_CA_CERTS", &*ca),
        ("ONCEWARD_INBOX", &*inbox),
    ];
    tools.run(Some(&setup.home().join("hosts")), &[program], &environment).await;
}

async fn unittest(folder: &str) {
    run(&["-m", "unittest", "discover", "-t", folder, "-s", folder], Tool::Python).await;
}

/// Runs a program of `tests/sdk` against a server of its own; its output is shown when it fails.
async fn run<S: AsRef<str>>(arguments: &[S], tool: Tool) {
    let Some(tools) = Tools::find(tool) else { return };
    // A simulator with a template.
    let templates = json!({
        "login": {
            "channels": ["sms", "call", "whatsapp"],
            "default-locale": "en",
            "translations": {
                "en": "{code} opens {{door}} of {friendly_name}",
                "de": "{code} öffnet {{door}} von {friendly_name}",
            },
        },
    });
    let setup = V2::account(Setup::new())
        // As tests/sdk/node/login.test.js has it.
        .env("SUPABASE_HOOK_SECRETS", "v1,whsec_c3VwYWJhc2Utc2VjcmV0LW9uZS1mb3ItdGVzdHM=")
        .config("log-level", "info")
        .config("voice", true)
        .config("templates", templates);
    let server = setup.start().await;
    let address = format!("http://{}", server.client.address());
    let environment = [
        ("ONCEWARD_URL", address.as_str()),
        ("ONCEWARD_ACCOUNT_SID", OWN_ACCOUNT),
        ("ONCEWARD_AUTH_TOKEN", OWN_TOKEN),
    ];
    tools.run(None, arguments, &environment).await;
}
