//! `/metrics`: what is counted, who may read it, and that no number is in it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::prelude::*;

#[tokio::test]
async fn sends_checks_and_a_refusing_gateway_are_counted() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let unused = v2.service(&[]).await;
    let unused = format!(r#"service="{}",channel="sms""#, &unused["/Services/".len()..]);
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, "000000").await.status(), 401);
    assert_eq!(world.verify(&number, &code).await.status(), 200);
    let refused = world.number_with([Reply::Refuse { status: 401, code: 20003 }]);
    assert_eq!(world.send(&refused).await.status(), 500);

    let scrape = scraped(&world.server).await;
    let default = r#"service="default",channel="sms""#;
    let twilio = r#"gateway="TwilioMessages",operation="send""#;
    for (sample, value) in [
        (format!("onceward_verifications_begun_total{{{default}}}"), 2.0),
        (format!(r#"onceward_sends_total{{{default},outcome="failed"}}"#), 1.0),
        (format!(r#"onceward_sends_total{{{unused},outcome="failed"}}"#), 0.0),
        (format!(r#"onceward_checks_total{{{default},outcome="wrong"}}"#), 1.0),
        (format!(r#"onceward_gateway_requests_total{{{twilio},outcome="configuration"}}"#), 1.0),
        // The account's refusal makes the server unready.
        ("onceward_ready".to_owned(), 0.0),
    ] {
        assert_eq!(scrape.value(&sample), Some(value), "{sample}\n{}", scrape.0);
    }
    for secret in [&number[1..], &refused[1..], &code] {
        let in_a_label = |line: &str| line.split('"').skip(1).step_by(2).any(|value| value.contains(secret));
        assert!(!scrape.0.lines().any(in_a_label), "{secret}\n{}", scrape.0);
    }
}

#[tokio::test]
async fn metrics_need_a_key_except_at_an_address_of_their_own() {
    let (world, _) = World::with_account(Setup::new().config("metrics-listen", "127.0.0.1:0")).await;
    for (scope, status) in [("admin", 200), ("verify", 403), ("metrics", 200)] {
        let key = world.setup.new_key(&["--scope", scope]).await;
        let read = world.get_with("/metrics", &[("authorization", &authorization(&key))]).await;
        assert_eq!(read.status(), status, "{scope}");
        if scope == "metrics" {
            V2::with_key_of(&world, &key).get("/Attempts").await.expects_status(403);
        }
    }
    assert_eq!(world.get("/metrics").await.status(), 401);
    let event = world.server.line("metrics served without credentials").await;
    let metrics = Client::new(text(&event, "address").parse().unwrap());
    let answer = metrics.get("/metrics").await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status(), answer.header("content-type")), (200, content_type));
    assert_eq!(metrics.get("/v2/Services").await.status(), 404);
}

#[tokio::test]
async fn the_manual_the_dashboard_and_the_alerts_name_metrics_of_a_scrape() {
    // A budget has metrics of its own.
    let guard = json!({ "mode": "record", "messages-per-day": 1_000 });
    let (world, _) = World::with_account(Setup::new().config("guard", guard)).await;
    let (number, code) = world.number_with_code().await;
    assert_eq!(world.verify(&number, &code).await.status(), 200);
    let mut names = scraped(&world.server).await.names();
    // Of nodes of a cluster only, whose tests read it.
    names.insert("onceward_cluster_node".to_owned());
    let manual = include_str!("../../docs/operate/monitoring.md");
    let rows = manual.lines().filter(|line| line.starts_with("* `onceward_"));
    let in_manual = rows.filter_map(|row| row.split(':').next()).collect::<String>();
    for (file, text) in [
        ("the manual", &*in_manual),
        ("the dashboard", include_str!("../../dist/grafana/onceward.json")),
        ("the alerts", include_str!("../../dist/prometheus/alerts.yml")),
    ] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_metric = |word: &&str| word.starts_with("onceward_") || word.starts_with("process_");
        let metrics: BTreeSet<_> = words.filter(is_metric).collect();
        assert!(metrics.len() > 5, "{file}");
        for metric in metrics {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix));
            assert!(names.contains(family.unwrap_or(metric)), "{file}: {metric}");
        }
    }
}

#[tokio::test]
async fn promtool_accepts_the_alerts_and_their_tests() {
    for (arguments, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let file = format!("{}/dist/prometheus/{file}", env!("CARGO_MANIFEST_DIR"));
        let ended = match Command::new("promtool").args([arguments, "rules", &file]).output() {
            Ok(ended) => ended,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "CI must have promtool");
                return println!("SKIPPED: promtool (package prometheus): {error}");
            }
        };
        let said = [ended.stdout, ended.stderr].concat();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
