//! The pages in a real browser, at the widths of a phone and of a desk: `tests/browser`.
//!
//! `tests/sdk/install` installs what it needs. Without it this test passes without running, and `scripts/test` says so
//! at its end; in CI it fails. With `ONCEWARD_PAGES=all` the pictures are in `target/screenshots`.

use std::path::Path;

use crate::sdk::tools::{Tool, Tools, target};
use crate::support::{Captcha, OWN_ACCOUNT, OWN_TOKEN, Setup, V2};

#[tokio::test]
async fn the_pages_work_on_a_phone_and_at_a_desk() {
    walk("pages.test.js", Setup::new()).await;
}

#[tokio::test]
async fn the_hosted_page_works_with_and_without_scripts_and_in_a_frame() {
    walk("hosted.test.js", Setup::new()).await;
}

#[tokio::test]
async fn the_hosted_page_asks_for_the_operators_challenge() {
    let captcha = Captcha::start().await;
    walk("challenge.test.js", captcha.required(Setup::new(), true)).await;
}

async fn walk(test: &str, setup: Setup) {
    let Some(tools) = Tools::find(Tool::Browser) else { return };
    // The first is the same engine without a browser around it, at half the cost of the others.
    let chromium = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let mut chromium = chromium.map(|name| format!("/usr/bin/{name}")).into_iter();
    let chromium = chromium.find(|path| Path::new(path).exists()).expect("Chromium is installed");
    let server = V2::account(setup).start().await;
    let address = format!("http://{}", server.client.address());
    let pictures = target().join("screenshots");
    let pid = server.pid().as_raw_nonzero().to_string();
    let environment = [
        ("ONCEWARD_URL", address.as_str()),
        ("ONCEWARD_CHROMIUM", chromium.as_str()),
        ("ONCEWARD_PID", pid.as_str()),
        ("ONCEWARD_USER", OWN_ACCOUNT),
        ("ONCEWARD_SECRET", OWN_TOKEN),
        ("ONCEWARD_SCREENSHOTS", pictures.to_str().expect("a path in UTF-8")),
    ];
    tools.run(None, &[test], &environment).await;
}
