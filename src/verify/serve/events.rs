//! What webhooks are told.

use std::collections::BTreeMap;

use super::Inner;
use crate::domain::{PhoneNumber, ServiceId, Sid};
use crate::shard::Facts;
use crate::verify::Status;
use crate::webhook::{About, Event, EventKind};

impl Inner {
    /// A message was sent, the first or a further one.
    pub(super) fn tell_of_send(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        facts: &Facts,
        tags: &BTreeMap<String, String>,
    ) {
        let sid = self.sid_of(service, to, facts.track);
        let about = about(to, facts, Status::Pending, tags);
        if facts.sends <= 1 {
            self.emit(EventKind::Created, service, sid, about.clone());
        }
        self.emit(EventKind::Sent, service, sid, about.clone());
        self.outbox.expect_end(service, sid, facts.expires, about);
    }

    /// The first message of a verification could not be sent: there is none.
    pub(super) fn tell_of_failure(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        facts: &Facts,
        tags: &BTreeMap<String, String>,
    ) {
        if facts.sends <= 1 {
            let sid = self.sid_of(service, to, facts.track);
            self.emit(EventKind::Failed, service, sid, about(to, facts, Status::Failed, tags));
        }
    }

    /// A check or a caller has decided something.
    pub(super) fn tell_of_check(&self, service: ServiceId, to: PhoneNumber, facts: &Facts, status: Status) {
        let kind = match status {
            Status::Approved => EventKind::Approved,
            Status::Canceled => EventKind::Canceled,
            Status::MaxAttemptsReached => EventKind::MaxAttemptsReached,
            Status::Pending | Status::Expired | Status::Failed => return,
        };
        let sid = self.sid_of(service, to, facts.track);
        self.emit(kind, service, sid, about(to, facts, status, &BTreeMap::new()));
    }

    fn emit(&self, kind: EventKind, service: ServiceId, verification: Sid, about: About) {
        self.outbox.emit(&Event { kind, service, verification, at: self.clock.now(), about });
    }
}

fn about(to: PhoneNumber, facts: &Facts, status: Status, tags: &BTreeMap<String, String>) -> About {
    About {
        to,
        channel: facts.channel,
        status: status.as_str().to_owned(),
        message: None,
        tags: tags.clone(),
    }
}
