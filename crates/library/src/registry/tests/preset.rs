//! Services and rules that tests put where the registry would.

#![expect(clippy::expect_used, reason = "only tests use it")]

use std::sync::Arc;

use crate::domain::{ServiceId, Timestamp};
use crate::engine::Policy;
use crate::registry::handle::Current;
use crate::registry::services::{service_id, unnamed_default};
use crate::registry::{Policies, Registry, Service, ServiceRecord, ServiceSettings};
use crate::shard::Refusal;

impl Policies {
    /// The rules of the default service, which also hold for services that have none of their own.
    pub fn new(default: Policy) -> Self {
        Self { default, current: Current::default() }
    }

    /// Adds a service with these rules.
    pub fn set(&self, id: ServiceId, policy: &Policy) {
        let mut next = (**self.current.load()).clone();
        let settings = ServiceSettings::of_policy(id.get().to_string(), policy);
        let service = Service { id, ..unnamed_default(&settings, Timestamp::EPOCH) };
        next.by_id.insert(id, Arc::new(service));
        self.current.store(Arc::new(next));
    }
}

impl Registry {
    /// Writes the record of a service as it is.
    pub async fn put_service(&self, service: Service) {
        let id = service_id(service.id);
        let record = ServiceRecord::Present(Box::new(service));
        let put = self.decide::<_, Refusal>(move |draft| {
            draft.put(id, &record);
            Ok(())
        });
        put.await.expect("durable");
    }
}
