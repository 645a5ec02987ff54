//! Spans for OpenTelemetry: what a collector gets, and what happens without one.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use tokio::time::timeout;

use crate::support::prelude::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[tokio::test]
async fn a_collector_gets_the_spans_of_a_request_and_of_what_follows_it() {
    let collector = Receiver::start().await;
    let setup = Setup::new()
        .env(ENDPOINT, collector.base_url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20k3y")
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
    world.get("/healthz").await;
    let refused = world.number_with([Reply::Refuse { status: 401, code: 20003 }]);
    assert_eq!(world.send(&refused).await.status(), 500);
    assert!(world.server.stop().await.status.success());

    let spans = collector.spans();
    let of_trace = |name: &str| -> &RecordedSpan {
        let mut wanted = spans.iter().filter(|span| span.name == name && span.trace == TRACE);
        let found = wanted.next().unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
        assert!(wanted.next().is_none(), "{name}: {spans:#?}");
        found
    };
    let request = of_trace("POST /v2/Services/{ServiceSid}/Verifications");
    assert_eq!((request.parent.as_str(), request.kind), (CALLER, SpanKind::Server));
    assert_eq!(request.attributes["http.response.status_code"], "201");
    let span = of_trace("send TwilioMessages");
    assert_eq!((span.parent.as_str(), span.kind), (request.id.as_str(), SpanKind::Client));
    assert!(span.nanos.start < span.nanos.end && !span.has_failed, "{span:#?}");

    let failed: Vec<_> = spans.iter().filter(|span| span.has_failed).map(|span| &*span.name).collect();
    assert!(failed.len() == 2 && failed.contains(&"POST /api/send-otp"), "{failed:?}");
    let is_refused = |span: &&RecordedSpan| span.has_failed && span.kind == SpanKind::Client;
    let gateway = spans.iter().find(is_refused).expect("the span of the gateway that refused");
    assert_eq!(gateway.attributes["error.type"], "configuration");
    assert!(!spans.iter().any(|span| span.name.contains("healthz")), "{spans:#?}");

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
async fn a_dead_collector_delays_no_request_and_no_stop() {
    let collector = Receiver::start().await;
    collector.otherwise(Reply::Hang);
    for endpoint in [collector.base_url(), "http://127.0.0.1:9".to_owned()] {
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
    }
}
