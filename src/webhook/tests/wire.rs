//! Over a real connection on loopback.

use super::*;
use crate::gateway::Poster;
use crate::gateway::double::{Double, Reply, answer};

#[tokio::test]
async fn an_event_arrives_over_http_with_its_signature() {
    let mut receiver = Double::playing([Reply::Bytes(answer(200, &[], "thank you"))]).await;
    let clock = Arc::new(ManualClock::starting_at(START));
    let subscribers = Arc::new(Directory::default());
    let url = format!("{}/hooks", receiver.base_url());
    subscribers.hooks.lock().expect("the hooks").push(Webhook { url, ..hook(1) });
    let outbox = Outbox::open(OutboxParts {
        store: Arc::new(MemoryStore::new()),
        clock,
        subscribers,
        transport: Arc::new(Poster::new(true, MINUTE)),
        rng: StdRng::seed_from_u64(42),
        bounds: OutboxBounds::default(),
    });
    let outbox = outbox.await.expect("an outbox");
    let event =
        Event { kind: EventKind::Created, service: SERVICE, verification: ve(1), at: START, about: about() };
    outbox.emit(&event);
    let request = receiver.request().await;
    assert_eq!(request.request_line, "POST /hooks HTTP/1.1");
    let header = |name| request.header(name).expect(name).to_owned();
    let id = EventId::parse(&header("webhook-id")).expect("an id");
    let signed = signature::headers(&[1; 32], id, START, request.body.as_bytes());
    assert_eq!(header("webhook-signature"), signed[2].1);
    assert_eq!(header("webhook-timestamp"), "1700000000");
    outbox.close().await.expect("written");
    let query = DeliveryQuery { limit: 1, ..DeliveryQuery::default() };
    let listed = outbox.deliveries(SERVICE, yw(1), &query).await.expect("a list").deliveries;
    assert_eq!(listed[0].state, DeliveryState::Delivered);
}
