//! What webhooks are told.

use std::collections::BTreeMap;

use super::Inner;
use crate::attempts::{ReceiptOutcome, VerifyStatus};
use crate::domain::{PhoneNumber, ServiceId, Sid};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::numbers::{Facts, Refusal};
use crate::verify::Status;
use crate::webhook::{About, Event, EventType, MessageAbout};

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
        // Of two messages at the same time neither may be the first one by the time that it is answered.
        if facts.sends <= 1 || !self.outbox.expects_end(service, sid) {
            self.emit(EventType::Created, service, sid, about.clone());
        }
        self.emit(EventType::Sent, service, sid, about.clone());
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
            self.emit(EventType::Failed, service, sid, about(to, facts, Status::Failed, tags));
        }
    }

    /// A check or a caller has decided something.
    pub(super) fn tell_of_check(&self, service: ServiceId, to: PhoneNumber, facts: &Facts, status: Status) {
        let kind = match status {
            Status::Approved => EventType::Approved,
            Status::Canceled => EventType::Canceled,
            Status::MaxAttemptsReached => EventType::MaxAttemptsReached,
            Status::Pending | Status::Expired | Status::Failed => return,
        };
        let sid = self.sid_of(service, to, facts.track);
        self.under_way.over((service, to), facts.track, |begun| {
            if let Some(tags) = begun.filter(|_| !self.outbox.expects_end(service, sid)) {
                // The code was faster than its gateway's answer.
                let begun = about(to, facts, Status::Pending, tags);
                self.emit(EventType::Created, service, sid, begun.clone());
                if status == Status::Approved {
                    self.emit(EventType::Sent, service, sid, begun);
                }
            }
            let none = BTreeMap::new();
            self.emit(kind, service, sid, about(to, facts, status, begun.unwrap_or(&none)));
        });
    }

    /// Records what a provider reported, and tells webhooks if a message arrived, or surely will not. Returns whether the
    /// report is to be recorded later, because its send is still under way.
    pub(super) async fn receive(&self, receipt: &Receipt) -> Result<bool, Refusal> {
        let (outcome, track) = self.verifier.receive(receipt.clone()).await?;
        let (ReceiptOutcome::News(row), Some(track)) = (&outcome, track) else {
            return Ok(outcome == ReceiptOutcome::Early);
        };
        let kind = match receipt.status {
            ReceiptStatus::Delivered => EventType::MessageDelivered,
            ReceiptStatus::Failed => EventType::MessageFailed,
            ReceiptStatus::Queued
            | ReceiptStatus::Sending
            | ReceiptStatus::Sent
            | ReceiptStatus::Answered
            | ReceiptStatus::Read => return Ok(false),
        };
        let key = receipt.attempt.key;
        let message = MessageAbout {
            attempt: self.sealer.attempt(&receipt.attempt),
            status: receipt.status.as_str().to_owned(),
            error_code: receipt.code,
        };
        let about = About {
            to: track.number,
            channel: row.channel,
            status: if track.verify == VerifyStatus::Success { Status::Approved } else { Status::Pending }
                .as_str()
                .to_owned(),
            message: Some(message),
            tags: BTreeMap::new(),
        };
        self.emit(kind, key.service, self.sid_of(key.service, track.number, key.track), about);
        Ok(false)
    }

    fn emit(&self, kind: EventType, service: ServiceId, verification: Sid, about: About) {
        self.outbox.emit(&Event { kind, service, verification, at: self.clock.wall(), about });
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
