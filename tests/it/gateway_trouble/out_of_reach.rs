//! Gateways that the server cannot reach, or not safely, or whose names are not resolved: it sends nothing and loses no
//! time.

use std::path::PathBuf;

use super::answers::classes;
use crate::support::prelude::*;

#[tokio::test]
async fn a_proxy_in_the_environment_sees_no_plain_http_and_no_local_requests() {
    let proxy = Collector::start().await;
    let proxied = || {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
        let patient = Setup::new().config("send-budget", "20s");
        names.iter().fold(patient, |setup, name| setup.env(name, proxy.base_url()))
    };
    World::of(proxied()).await.number_with_message().await;
    assert!(proxy.received().is_empty());
    // The proxy is for encrypted requests to other hosts.
    let server = through("https://onceward.invalid", proxied()).start().await;
    server.client.send(&Numbers::default().next()).await.expects(failed());
    assert!(!proxy.received().is_empty(), "docs/internals/http.md");
}

const HANGS: &str = "provider.example";

/// Many more than the server looks up at once.
const SENDS: usize = 200;

/// `LOOK_UPS` in `crates/gateway/src/egress.rs`.
const AT_ONCE: u64 = 32;

#[tokio::test]
async fn a_hung_resolver_keeps_sends_within_their_budget_and_codes_are_checked() {
    let twilio = Twilio::start().await;
    let setup = Setup::new().config("send-budget", "3s").config("bounds.breaker-failures", 1000);
    let gateways = json!({ "hung": vonage(&format!("http://{HANGS}")) });
    let setup = through(&twilio.base_url(), setup).config("gateways", gateways);
    // Numbers of one prefix use another gateway, which needs no lookup.
    let (hung, setup) = Hung::over(setup.config("otp-sms-provider", "hung;Twilio:+35988"));
    let server = setup.start().await;
    let (number, numbers) = ("+359881234567", Numbers::default());
    server.client.send(number).await.expects(sent(number, 5));
    let code = twilio.code_for(number);
    let threads_before = threads(&server);

    let sends: Vec<_> = (0..SENDS).map(|_| server.client.begin_send(&numbers.next())).collect();
    until("as many look-ups as there may be", || async { hung.look_ups() }, |n| *n == AT_ONCE).await;
    for trials in (1..=4).rev() {
        server.client.verify(number, "no code").await.expects(incorrect(number, trials));
    }
    server.client.verify(number, &code).await.expects(verified(number));
    for send in sends {
        send.await.expect("an answer").expects(failed());
    }
    assert_eq!(hung.look_ups(), AT_ONCE, "the others never began");
    // The other gateway and the store still work.
    server.client.send(number).await.expects(sent(number, 5));
    let more = threads(&server).saturating_sub(threads_before);
    assert!(more <= usize::try_from(AT_ONCE).unwrap() + 8, "{more} threads more");
    let lines = until("a line for each", || async { classes(&server) }, |said| said.len() >= SENDS).await;
    assert_eq!(lines.len(), SENDS);
    hung.ends();
    // Waiting sends get an answer, and the threads become free.
    server.client.send(&numbers.next()).await.expects(failed());
    let why = "failed to lookup address";
    let is_said = |event: &Value| event["detail"].as_str().is_some_and(|detail| detail.contains(why));
    server.event(why, is_said).await;
}

struct Hung {
    file: PathBuf,
}

impl Hung {
    fn over(setup: Setup) -> (Self, Setup) {
        let file = setup.home().join("look_ups");
        std::fs::write(&file, "").expect("write a file for the test");
        let path = file.to_str().expect("a path in UTF-8").to_owned();
        (Self { file }, setup.preload("resolver.c").env("HANG_NAME", HANGS).env("HANG_FILE", path))
    }

    /// The number of lookups that have begun to hang.
    fn look_ups(&self) -> u64 {
        std::fs::metadata(&self.file).expect("the file of the test").len()
    }

    fn ends(&self) {
        std::fs::remove_file(&self.file).expect("remove a file of the test");
    }
}

fn threads(server: &Server) -> usize {
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    std::fs::read_dir(tasks).expect("the program runs").count()
}
