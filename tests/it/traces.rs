//! Spans for OpenTelemetry: what a collector gets, and what happens without one.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use tokio::time::timeout;

use crate::support::prelude::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[tokio::test]
async fn a_sends_spans_are_in_its_callers_trace_without_number_or_code() {
    let collector = Collector::start().await;
    let setup = Setup::new()
        .env(ENDPOINT, collector.base_url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20k3y")
        .env("OTEL_SERVICE_NAME", "codes")
        .config("webhook-private-addresses", true);
    let (world, v2, service) = World::with_service(setup).await;
    let hook = format!("{}/hook?token=h00k", collector.base_url());
    v2.webhook(&service, "verification.created", &hook).await;

    let number = world.number();
    let path = format!("{service}/Verifications");
    let send = [("To", number.as_str()), ("Channel", "sms")];
    let parent = format!("00-{TRACE}-{CALLER}-01");
    assert_eq!(v2.post_with(&path, ("traceparent", &parent), &send).await.status(), 201);
    let code = world.twilio().code_for(&number);
    let delivered = async || collector.received().iter().any(|received| received.target == "POST /hook");
    until("the webhook", delivered, |delivered| *delivered).await;
    assert!(world.server.stop().await.status.success());

    let spans = collector.spans();
    let one = |name: &str, trace: Option<&str>| -> &RecordedSpan {
        let of_name = spans.iter().filter(|span| span.name == name);
        let mut wanted = of_name.filter(|span| trace.is_none_or(|trace| span.trace == trace));
        let found = wanted.next().unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
        assert!(wanted.next().is_none(), "{name}: {spans:#?}");
        found
    };
    let request = one("POST /v2/Services/{ServiceSid}/Verifications", Some(TRACE));
    assert_eq!((request.parent.as_str(), request.kind), (CALLER, SpanKind::Server));
    assert_eq!(request.attributes["http.response.status_code"], "201");
    assert_eq!(request.service, "codes");
    assert!(request.attributes["onceward.request_id"].len() > 4, "{request:#?}");
    for (name, kind) in [("decide send", SpanKind::Internal), ("send TwilioMessages", SpanKind::Client)] {
        let span = one(name, Some(TRACE));
        assert_eq!((span.parent.as_str(), span.kind), (request.id.as_str(), kind), "{name}");
        assert!(request.nanos.start <= span.nanos.start && span.nanos.end <= request.nanos.end, "{span:#?}");
        assert!(span.nanos.start < span.nanos.end && !span.has_failed, "{span:#?}");
    }
    assert_eq!(one("send TwilioMessages", Some(TRACE)).attributes["onceward.outcome"], "ok");
    let webhook = one("deliver webhook", None);
    assert_ne!(webhook.trace, TRACE);
    assert_eq!(webhook.links, [(request.trace.clone(), request.id.clone())]);
    assert_eq!(webhook.attributes["http.response.status_code"], "200");

    for export in collector.exports() {
        assert_eq!(
            (export.header("authorization"), export.header("content-type")),
            ("Bearer k3y", "application/x-protobuf")
        );
        let bytes = String::from_utf8_lossy(&export.body);
        for secret in [&number[1..], code.as_str(), "h00k", "k3y"] {
            assert!(!bytes.contains(secret), "{secret}: {bytes}");
        }
    }
}

#[tokio::test]
async fn a_gateways_error_fails_its_span_and_health_checks_have_none() {
    let collector = Collector::start().await;
    let world = World::of(Setup::new().env(ENDPOINT, collector.base_url())).await;
    let refused = world.number_with([Reply::Refuse { status: 401, code: 20003 }]);
    assert_eq!(world.send(&refused).await.status(), 500);
    world.get("/healthz").await;
    assert!(world.server.stop().await.status.success());
    let spans = collector.spans();
    let mut names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.has_failed)).collect();
    names.sort_unstable();
    assert_eq!(names, [("POST /api/send-otp", true), ("decide send", false), ("send TwilioMessages", true)]);
    let gateway = spans.iter().find(|span| span.kind == SpanKind::Client).expect("the gateway's span");
    assert_eq!(gateway.attributes["error.type"], "configuration");
}

#[tokio::test]
async fn a_dead_collector_delays_no_request_and_no_stop() {
    let collector = Collector::start().await;
    collector.otherwise(Reply::Hang);
    for (endpoint, lines) in [(collector.base_url(), 0), ("http://127.0.0.1:9".to_owned(), 1)] {
        let world = World::of(Setup::new().env(ENDPOINT, endpoint)).await;
        let sends = async {
            for _ in 0..50 {
                assert_eq!(world.send(&world.number()).await.status(), 200);
            }
        };
        timeout(Duration::from_secs(60), sends).await.expect("sends go on");
        world.server.signal(Signal::TERM);
        let ended = timeout(Duration::from_secs(60), world.server.ended()).await.expect("it stops");
        assert!(ended.status.success(), "{}", ended.output);
        assert_eq!(ended.output.matches("spans dropped").count(), lines, "{}", ended.output);
    }
}
