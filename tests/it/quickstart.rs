//! Runs the commands of README.md, docs/quickstart.md and guides against the real program, as a new user pastes them.
//!
//! The test omits the blocks that build and start the server, and those that install Twilio's libraries, whose programs
//! `tests/sdk` runs.

use std::process::{Command, Output};

use crate::support::prelude::*;

const README: &str = include_str!("../../README.md");
const QUICKSTART: &str = include_str!("../../docs/quickstart.md");

/// Guides whose requests use the variables of the quickstart.
const GUIDES: [&str; 3] = [
    include_str!("../../docs/guides/rate-limits.md"),
    include_str!("../../docs/guides/test-numbers.md"),
    include_str!("../../docs/guides/webhooks.md"),
];

/// Words of blocks that another test runs, or that need tools which a test lacks.
const LEFT_OUT: [&str; 6] =
    ["cargo ", "scripts/", "onceward-bench", "pip install", "npm install", "WEBHOOK/"];

/// The README shows two requests. The quickstart has the commands before each: the credentials, and the code.
#[tokio::test]
async fn the_readme_leads_to_a_verified_number() {
    let quickstart: Vec<&str> = runnable(QUICKSTART).collect();
    let readme: Vec<&str> = runnable(README).collect();
    let (&[credentials, _, code, ..], &[send, check]) = (&quickstart[..], &readme[..]) else {
        panic!("{quickstart:#?} {readme:#?}");
    };
    let send = format!("VERIFICATION=$({} | grep -o 'VE[0-9a-f]*' | head -n 1)", send.trim());
    verifies(&[credentials, &send, code, check]).await;
}

async fn verifies(blocks: &[&str]) {
    if let Some(output) = run(blocks).await {
        assert!(output.contains(r#""status":"approved","valid":true"#), "{output}");
    }
}

#[tokio::test]
async fn the_quickstart_leads_to_a_verified_number() {
    let blocks: Vec<&str> = runnable(QUICKSTART).collect();
    assert_eq!(blocks.len(), 4, "{blocks:#?}");
    verifies(&blocks).await;
}

#[tokio::test]
async fn the_requests_of_the_guides_are_carried_out() {
    let credentials = runnable(QUICKSTART).next().expect("the credentials");
    for guide in GUIDES {
        // Any error ends the shell.
        let mut blocks = vec!["curl() { command curl --fail-with-body \"$@\"; }", credentials];
        blocks.extend(runnable(guide));
        assert!(blocks.len() > 2, "{guide}");
        if run(&blocks).await.is_none() {
            return;
        }
    }
}

/// Runs blocks in one shell and returns the output. Returns `None` without curl, after printing so.
#[expect(clippy::print_stderr, reason = "a reader of a skipped test's output must see it")]
async fn run(blocks: &[&str]) -> Option<String> {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the commands of the documents need curl");
        return None;
    }
    let setup = Setup::new().config("webhook-private-addresses", true);
    let server = setup.start().await;
    let mut bash = Command::new("bash");
    bash.args(["-euc", &blocks.join("\n")]).current_dir(setup.home());
    bash.env("ADDRESS", server.client.address().to_string());
    // A proxy of this machine has nothing to do with a server on it.
    bash.env("NO_PROXY", "*").env("no_proxy", "*");
    let ended = tokio::task::spawn_blocking(move || bash.output()).await;
    let Output { status, stdout, stderr } = ended.expect("it was waited for").expect("bash was started");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    Some(stdout.into_owned())
}

fn runnable(document: &str) -> impl Iterator<Item = &str> {
    blocks(document).filter(|block| !LEFT_OUT.iter().any(|word| block.contains(word)))
}

fn blocks(document: &str) -> impl Iterator<Item = &str> {
    document.split("```sh\n").skip(1).map(|after| after.split("```").next().unwrap_or_default())
}
