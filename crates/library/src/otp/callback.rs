//! Reports of providers, for programs that have an HTTP server of their own.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Otp;
use crate::gateway::{CallbackKind, Receipt};
use crate::verification::numbers::Refusal;

/// The answer to a provider's request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the provider waits for an answer, and a call for what to say"]
pub struct CallbackReply {
    status: u16,
    content_type: Option<&'static str>,
    body: String,
}

impl CallbackReply {
    const fn bare(status: u16) -> Self {
        Self { status, content_type: None, body: String::new() }
    }

    /// The HTTP status: 204 or 200 when the report was taken; 400 for one that makes no sense, 403 for
    /// one whose signature does not fit, 404 for a path that is not one of these or without providers that
    /// report, 413 for a body that is too large, and 503 after [`Otp::stop`].
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The media type of the body; `None` without a body.
    pub const fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// The next instructions of a call (`TwiML`), or the `hub.challenge` of a provider that verifies the address, else empty.
    /// It may contain a code: do not log it.
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl Otp {
    /// Takes what Twilio reports of messages and calls, and answers what to reply. Mount it for `POST` of
    /// `/callbacks/twilio/message`, `/callbacks/twilio/call` and `/callbacks/twilio/gate` below
    /// the setting `public-url`, and for `GET` and `POST` of
    /// `/callbacks/gateways/{name}` if a gateway has a recipe with receipts.
    ///
    /// `path_and_query` is what was asked for, still percent-encoded and unchanged: the signature covers it.
    /// Where the public address has a path of its own, that may be in front of it or not. `headers` are names
    /// in any case with their values, such as those of the `http` crate's `HeaderMap`; pass
    /// all of them: `Content-Type` and `X-Twilio-Signature` are Twilio's, and a recipe names the headers of its provider's
    /// signature. The body may have at most 16 KiB.
    ///
    /// Any client may call this path. The engine ignores a report until its signature was checked.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use onceward_library::otp::Otp;
    /// # let directory = tempfile::tempdir()?;
    /// # let otp = Otp::builder(directory.path()).start().await?;
    /// let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", "...")];
    /// let reply = otp.provider_callback("/callbacks/twilio/message?attempt=..", headers, b"MessageSid=..").await;
    /// // Without an account of Twilio's there is nothing to report.
    /// assert_eq!((reply.status(), reply.content_type(), reply.body()), (404, None, ""));
    /// # otp.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn provider_callback<N, V>(
        &self,
        path_and_query: &str,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
    ) -> CallbackReply
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let is_known = path.contains("/callbacks/gateways/")
            || CallbackKind::ALL.into_iter().any(|kind| path.ends_with(kind.path()));
        let Some(reports) = self.engine.reports.as_ref().filter(|_| is_known) else {
            return CallbackReply::bare(404);
        };
        if body.len() > self.engine.longest_report {
            return CallbackReply::bare(413);
        }
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_ref().as_bytes()), HeaderValue::from_bytes(value.as_ref()))
            {
                all.append(name, value);
            }
        }
        let running = (!self.engine.is_stopping()).then_some(&*self.engine.running);
        match reports.record(path_and_query, &all, body, running).await {
            Ok(None) => CallbackReply::bare(204),
            Ok(Some((kind, body))) => CallbackReply { status: 200, content_type: Some(kind), body },
            Err(status) => CallbackReply::bare(status.as_u16()),
        }
    }

    /// Notes what the provider of a gateway of your own reported; the attempt is the one of
    /// [`OutgoingMessage::callback`](super::OutgoingMessage::callback). Whether the report is the provider's is for
    /// you to check. The same report twice changes nothing, and one about an attempt that is not known, or that another
    /// gateway made, is ignored.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] after [`Otp::stop`]; other refusals when it could not be recorded.
    pub async fn note_receipt(&self, receipt: &Receipt) -> Result<(), Refusal> {
        if self.engine.is_stopping() {
            return Err(Refusal::Stopping);
        }
        self.engine.running.verifying.receive(receipt.clone()).await
    }
}
