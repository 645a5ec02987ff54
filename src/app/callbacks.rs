//! What comes to the callback paths of the front end, handed on to [`Reports`].

use super::front_end::Late;
use super::reports::{Report, Reported, Reports};
use crate::config::Settings;
use crate::gateway::{BoxFuture, CallbackKind as Kind};
use crate::http::{CallbackAnswer, CallbackKind, CallbackRequest, Callbacks};

/// Takes the reports of Twilio, from when there is an engine.
pub struct TwilioReports {
    reports: Reports,
    late: Late,
}

impl TwilioReports {
    /// `None` without a public address or without an account of Twilio's.
    pub fn new(settings: &Settings, late: Late) -> Option<Self> {
        let reports = Reports::new(&settings.gateways, settings.delivery.public_url.as_ref())?;
        Some(Self { reports, late })
    }

    async fn take(&self, request: CallbackRequest) -> CallbackAnswer {
        let report = Report {
            kind: match request.kind {
                CallbackKind::Message => Kind::Message,
                CallbackKind::Call => Kind::Call,
                CallbackKind::Gate => Kind::Gate,
            },
            path_and_query: &request.path_and_query,
            content_type: request.content_type.as_deref(),
            signature: request.signature.as_deref(),
            body: &request.body,
        };
        match self.reports.take(report, self.late.running()).await {
            Reported::Noted => CallbackAnswer::NoContent,
            Reported::Says(document) => CallbackAnswer::Twiml(document),
            Reported::BadSignature => CallbackAnswer::BadSignature,
            Reported::Unreadable => CallbackAnswer::Unreadable,
            Reported::NotRunning => CallbackAnswer::Unavailable,
        }
    }
}

impl Callbacks for TwilioReports {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        Box::pin(self.take(request))
    }
}
