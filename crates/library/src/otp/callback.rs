//! Reports of providers, for programs that have an HTTP server of their own.

use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode};

use super::Otp;
use crate::gateway::{CallbackKind, Receipt};
use crate::verification::Refusal;

impl Otp {
    /// Takes what Twilio reports of messages and calls, and answers what to reply. Mount it for `POST` of
    /// `/callbacks/twilio/message`, `/callbacks/twilio/call` and `/callbacks/twilio/gate` below
    /// the setting `public-url`, and for `GET` and `POST` of
    /// `/callbacks/gateways/{name}` if a gateway has a recipe with receipts.
    ///
    /// Pass the request on unchanged: the signature covers path, query and body. Where the public address has a path of
    /// its own, that may be in front of it or not. The body may have at most 16 KiB.
    ///
    /// The status is 204 or 200 when the report was taken; 400 for one that makes no sense, 403 for one whose signature
    /// does not fit, 404 for a path that is not one of these or without providers that report, 413 for a body that is too
    /// large, and 503 after [`Otp::stop`]. The body has the next instructions of a call (`TwiML`), or the `hub.challenge`
    /// of a provider that verifies the address. It may contain a code: do not log it.
    ///
    /// Any client may call this path. The engine ignores a report until its signature was checked.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use onceward_library::otp::Otp;
    /// # let directory = tempfile::tempdir()?;
    /// # let otp = Otp::builder(directory.path()).start().await?;
    /// let report = http::Request::post("/callbacks/twilio/message?attempt=..")
    ///     .header("content-type", "application/x-www-form-urlencoded")
    ///     .header("x-twilio-signature", "...")
    ///     .body("MessageSid=..")?;
    /// let reply = otp.provider_callback(&report).await;
    /// // Without an account of Twilio's there is nothing to report.
    /// assert_eq!(reply.status(), 404);
    /// # otp.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn provider_callback(&self, request: &Request<impl AsRef<[u8]>>) -> Response<String> {
        let (engine, path, body) = (&self.engine, request.uri().path(), request.body().as_ref());
        let is_known = path.contains("/callbacks/gateways/")
            || CallbackKind::ALL.into_iter().any(|kind| path.ends_with(kind.path()));
        let answer = match engine.reports.as_ref().filter(|_| is_known) {
            None => Err(StatusCode::NOT_FOUND),
            Some(_) if body.len() > engine.longest_report => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Some(reports) => {
                let path_and_query = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
                let running = (!engine.is_stopping()).then_some(&*engine.running);
                reports.record(path_and_query, request.headers(), body, running).await
            }
        };
        let status = answer.as_ref().map_or_else(
            |status| *status,
            |text| match text {
                Some(_) => StatusCode::OK,
                None => StatusCode::NO_CONTENT,
            },
        );
        let (kind, text) = answer.ok().flatten().unzip();
        let mut reply = Response::new(text.unwrap_or_default());
        *reply.status_mut() = status;
        reply.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
        reply
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
