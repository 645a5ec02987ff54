//! Deliveries over a real connection on loopback.

use super::*;
use crate::gateway::double::{Double, Reply, answer};

#[tokio::test]
async fn an_event_arrives_over_http_with_its_signature() {
    let mut receiver = Double::playing([Reply::Bytes(answer(200, &[], "thank you"))]).await;
    let clock = Arc::new(ManualClock::starting_at(START));
    let registry = Services::new().open().await;
    let url = format!("{}/hooks", receiver.base_url());
    registry.put_service(service_with(SERVICE, vec![Webhook { url, ..hook(1) }])).await;
    let shards = shards(&FaultyStore::new(), &(clock as Arc<dyn Clock>)).await;
    let outbox = Outbox::start(
        shards,
        &ServerKey::from_bytes([7; 32]),
        registry,
        Poster::new(true, MINUTE).transport(),
        OutboxBounds::default(),
        None,
    );
    let event =
        Event { kind: EventType::Created, service: SERVICE, verification: ve(1), at: START, about: about() };
    outbox.emit(event).await.expect("kept");
    let request = receiver.request().await;
    assert_eq!(request.request_line, "POST /hooks HTTP/1.1");
    let header = |name| request.header(name).expect(name).to_owned();
    let id = EventId::parse(&header("webhook-id")).expect("an id");
    let signed = request::headers(&[1; 32], id, START, request.body.as_bytes());
    assert_eq!(header("webhook-signature"), signed[2].1);
    assert_eq!(header("webhook-timestamp"), "1700000000");
    outbox.close().await;
    let query = DeliveryQuery { limit: 1, ..DeliveryQuery::default() };
    let listed = outbox.deliveries(SERVICE, yw(1), &query).await.expect("a list").records;
    assert_eq!(listed[0].state, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_webhook_of_the_registry_is_told_and_disabled_once_it_is_gone() {
    use crate::registry::WebhookFields;

    let mut receiver = Double::playing([Reply::Bytes(answer(410, &[], ""))]).await;
    let services = Services::new();
    let registry = services.open().await;
    let service = registry.default_service();
    let fields = WebhookFields {
        friendly_name: Some("ours".to_owned()),
        event_types: Some(vec!["*".to_owned()]),
        url: Some(receiver.base_url()),
        status: None,
    };
    let webhook = registry.create_webhook(service.sid, fields).await.expect("a webhook");
    let shards = shards(&FaultyStore::new(), &(services.clock.clone() as Arc<dyn Clock>)).await;
    let outbox = Outbox::start(
        shards,
        &ServerKey::from_bytes([7; 32]),
        registry.clone(),
        Poster::new(true, ATTEMPT_TIME).transport(),
        OutboxBounds::default(),
        None,
    );
    let mut changes = registry.changes();
    changes.mark_unchanged();
    let verification = ve(1);
    let at = services.clock.now();
    let event = Event { kind: EventType::Created, service: service.id, verification, at, about: about() };
    outbox.emit(event).await.expect("kept");
    let request = receiver.request().await;
    let header = |name| request.header(name).expect(name).to_owned();
    let id = EventId::parse(&header("webhook-id")).expect("an id");
    let signed = request::headers(&webhook.secret, id, at, request.body.as_bytes());
    assert_eq!(header("webhook-signature"), signed[2].1);
    changes.changed().await.expect("the registry is there");
    let now = registry.default_service();
    assert_eq!(now.webhook(&webhook.sid).map(|webhook| webhook.status), Ok(WebhookStatus::Disabled));
}
