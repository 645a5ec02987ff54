//! Runs the commands of README.md, docs/quickstart.md and guides against the real program, as a new user pastes them.
//!
//! The test omits the blocks that build and start the server, and those that install Twilio's libraries, whose programs
//! `tests/sdk` runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::prelude::*;

const README: &str = include_str!("../../README.md");
const QUICKSTART: &str = include_str!("../../docs/quickstart.md");
const HOOKS: &str = include_str!("../../docs/guides/identity-systems.md");

/// Guides whose requests use the variables of the quickstart.
const GUIDES: [&str; 9] = [
    include_str!("../../docs/guides/carried-codes.md"),
    include_str!("../../docs/guides/hosted-page.md"),
    include_str!("../../docs/guides/rate-limits.md"),
    include_str!("../../docs/guides/sign-up-form.md"),
    include_str!("../../docs/guides/test-numbers.md"),
    include_str!("../../docs/guides/webhooks.md"),
    include_str!("../../docs/operate/keys.md"),
    include_str!("../../docs/reference/attempts.md"),
    include_str!("../../docs/reference/cli.md"),
];

/// Words of blocks that another test runs, or that need tools which a test lacks.
const LEFT_OUT: [&str; 7] =
    ["cargo ", ".env <<", "scripts/", "onceward-bench", "pip install", "npm install", "WEBHOOK/"];

#[tokio::test]
async fn the_readme_and_the_quickstart_lead_to_a_verified_number() {
    for document in [README, QUICKSTART] {
        let mut blocks = vec!["API=http://$ADDRESS"];
        blocks.extend(runnable(document));
        run(&blocks).await.says([r#""status":"approved","valid":true"#]);
    }
}

#[tokio::test]
async fn a_hook_is_tried_without_a_login_system() {
    let trial = runnable(HOOKS).collect::<Vec<_>>().join("\n");
    let trial = trial.replace("localhost:3001", &unused_address().to_string());
    let script = ["trap 'kill $!' EXIT", &trial, "trap - EXIT", "kill $!", "wait"].join("\n");
    let setup = Setup::bare();
    let home = setup.home().to_str().expect("a path");
    shell(script, setup.home(), &[("TMPDIR", home)]).await.says(["\n{}\n", r#""code":"271828""#]);
}

#[tokio::test]
async fn the_requests_of_the_guides_are_carried_out() {
    let credentials = runnable(QUICKSTART).next().expect("the credentials");
    for guide in GUIDES {
        // Any error ends the shell.
        let mut blocks = vec!["curl() { command curl --fail-with-body \"$@\"; }", credentials];
        blocks.extend(runnable(guide));
        assert!(blocks.len() > 2, "{guide}");
        run(&blocks).await;
    }
}

/// Runs blocks in one shell beside a server.
async fn run(blocks: &[&str]) -> String {
    let services = json!({ "shop": { "friendly-name": "Acme Shop" } });
    let setup = Setup::new().config("webhook-private-addresses", true).config("services", services);
    let server = setup.start().await;
    let address = server.client.address().to_string();
    let newest_key = "$(onceward keys list --json | grep -o 'SK[0-9a-f]*' | head -n 1)";
    let script = [
        ("https://codes.example", "$API"),
        ("http://localhost:3000", "$API"),
        ("$KEY:$SECRET", "$AUTH"),
        ("SK0123456789abcdef0123456789abcdef", newest_key),
        // `tests/sdk/python/test_examples.py` runs these.
        ("python3 examples/", "# "),
    ];
    let script = script.iter().fold(blocks.join("\n"), |text, (sample, own)| text.replace(sample, own));
    shell(script, setup.home(), &[("ADDRESS", &address)]).await
}

/// Runs a script, which needs curl and openssl, and returns its output.
pub async fn shell(script: String, directory: &Path, variables: &[(&str, &str)]) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_onceward"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = program.parent().into_iter().map(Path::to_owned).chain(env::split_paths(&path));
    let mut bash = Command::new("bash");
    bash.args(["-euc", &script]).current_dir(directory).envs(variables.iter().copied());
    bash.env("PATH", env::join_paths(path).expect("a path"));
    // A proxy of this machine has nothing to do with a server on it.
    bash.env("NO_PROXY", "*").env("no_proxy", "*");
    let ended = tokio::task::spawn_blocking(move || bash.output()).await;
    let Output { status, stdout, stderr } = ended.expect("it was waited for").expect("bash was started");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

fn runnable(document: &str) -> impl Iterator<Item = &str> {
    let blocks = document.split("```sh\n").skip(1).map(|after| after.split("```").next().unwrap_or_default());
    blocks.filter(|block| !LEFT_OUT.iter().any(|word| block.contains(word)))
}
