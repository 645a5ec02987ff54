//! What all providers that speak HTTP have in common: a message becomes a request, its answer is classified, and the
//! answers tell whether the account with the provider is in order.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Request};
use url::Url;

use super::classify::{Classification, not_answered};
use super::client::{Answer, HttpClient, is_this_machine};
use super::{
    Accepted, BoxFuture, Checker, ErrorClass, Gateway, GatewayError, GatewaySettingsError, OutgoingMessage,
    Verdict,
};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Timestamp};

/// A provider's API: builds requests and classifies responses.
pub trait Provider: Send + Sync + 'static {
    const NAME: GatewayName;

    /// The setting of its URL, as errors name it.
    const URL_SETTING: &'static str;

    /// Codes of errors with which the provider refuses the account. When empty, the account counts as refused after
    /// every error of the class `Configuration` that concerns the whole gateway.
    const ACCOUNT_REFUSED: &'static [u32] = &[];

    fn channels(&self) -> &[Channel];

    /// The request that hands a message over, on a channel that the provider serves. An error is about this message
    /// only.
    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError>;

    /// The id of the accepted message, or why there is none.
    fn classify(&self, answer: &Answer) -> Result<Accepted, GatewayError>;

    /// `Some` for a provider that makes and holds the codes.
    fn code_holder(&self) -> Option<&dyn CodeHolder> {
        None
    }

    /// Whether [`Provider::confirmation`] makes requests.
    fn wants_confirmation(&self) -> bool {
        false
    }

    /// The request that reports a message as having led to a verified number.
    fn confirmation(&self, _message_id: &str) -> Result<Option<Request>, GatewayError> {
        Ok(None)
    }
}

pub trait CodeHolder: Send + Sync {
    fn check_request(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Result<Request, GatewayError>;
    fn classify_check(&self, answer: &Answer) -> Result<Verdict, GatewayError>;
}

pub struct HttpProvider<P> {
    pub(super) provider: P,
    client: HttpClient,
    account: AccountHealth,
}

impl<P: Provider> HttpProvider<P> {
    /// Sends nothing. Warns when secrets would cross a network unprotected. The clock dates a refusal of the account,
    /// for readiness.
    pub(super) fn of(provider: P, target: &Url, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        if target.scheme() == "http" && !is_this_machine(target) {
            tracing::warn!(
                gateway = P::NAME.as_str(),
                host = target.host_str(),
                "the URL is not https: codes and credentials cross the network unprotected"
            );
        }
        let client = HttpClient::for_target(target).map_err(|error| {
            GatewaySettingsError::new(P::NAME, P::URL_SETTING, format!("cannot be used: {error}"))
        })?;
        Ok(Self { provider, client, account: AccountHealth::new(clock, P::ACCOUNT_REFUSED) })
    }

    fn require_channel(&self, channel: Channel) -> Result<(), GatewayError> {
        if self.provider.channels().contains(&channel) {
            return Ok(());
        }
        let detail = format!("was asked for the channel {}, which it does not serve", channel.as_str());
        Err(not_tried(P::NAME, detail))
    }

    /// Sends a request once, has the answer classified, and learns from it about the account.
    async fn exchange<T>(
        &self,
        request: Request,
        classify: impl FnOnce(&Answer) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        self.account.learn(match self.client.send(request).await {
            Ok(answer) => classify(&answer),
            Err(no_answer) => Err(not_answered(P::NAME, no_answer)),
        })
    }
}

impl<P: Provider> Gateway for HttpProvider<P> {
    fn name(&self) -> GatewayName {
        P::NAME
    }

    fn channels(&self) -> &[Channel] {
        self.provider.channels()
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            self.require_channel(message.channel)?;
            let request = self.provider.request(message)?;
            self.exchange(request, |answer| self.provider.classify(answer)).await
        })
    }

    fn checker(&self) -> Option<&dyn Checker> {
        self.provider.code_holder().map(|_| self as &dyn Checker)
    }

    fn wants_confirmation(&self) -> bool {
        self.provider.wants_confirmation()
    }

    fn confirm<'a>(&'a self, message_id: &'a str) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async move {
            let Some(request) = self.provider.confirmation(message_id)? else { return Ok(()) };
            let classify = |answer: &Answer| {
                if answer.status.is_success() { Ok(()) } else { self.provider.classify(answer).map(drop) }
            };
            self.exchange(request, classify).await
        })
    }

    fn readiness(&self) -> Result<(), String> {
        self.account.readiness()
    }
}

impl<P: Provider> Checker for HttpProvider<P> {
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            let holder = self.provider.code_holder();
            let holder = holder.ok_or_else(|| not_tried(P::NAME, "holds no codes".to_owned()))?;
            self.require_channel(channel)?;
            let request = holder.check_request(to, channel, code)?;
            self.exchange(request, |answer| holder.classify_check(answer)).await
        })
    }
}

impl<P: Provider> fmt::Debug for HttpProvider<P> {
    /// Without the provider, whose address and headers may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvider").field("name", &P::NAME).finish_non_exhaustive()
    }
}

/// A request that was not made. It says nothing about other messages.
pub(super) fn not_tried(gateway: GatewayName, detail: String) -> GatewayError {
    Classification::of_this_message(ErrorClass::Configuration).error(gateway, None, detail)
}

/// A request with headers that were prepared once.
pub(super) fn request(
    method: Method,
    url: Url,
    headers: &HeaderMap,
    body: impl Into<reqwest::Body>,
) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().clone_from(headers);
    *request.body_mut() = Some(body.into());
    request
}

/// How long a refusal of the account counts. Then the server calls itself ready again, for behind a load balancer
/// only a ready server gets the send that can prove that the account works again.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(60);

/// The last answer that says something about the account: after a refusal, sends of all numbers fail until an operator
/// acts, and the first success proves that it works again. A send with a good account costs one relaxed load.
struct AccountHealth {
    clock: Arc<dyn Clock>,
    account_refused: &'static [u32],
    /// Whether there is a refusal to look at; changes only while the refusal is locked.
    refused: AtomicBool,
    refusal: Mutex<Option<(Timestamp, String)>>,
}

impl AccountHealth {
    fn new(clock: Arc<dyn Clock>, account_refused: &'static [u32]) -> Self {
        Self { clock, account_refused, refused: AtomicBool::new(false), refusal: Mutex::new(None) }
    }

    fn learn<T>(&self, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
        match &outcome {
            Ok(_) if self.refused.load(Ordering::Relaxed) => self.note(None),
            Err(error) if self.is_refusal(error) => {
                self.note(Some((self.clock.now(), error.to_string())));
            }
            _ => {}
        }
        outcome
    }

    fn readiness(&self) -> Result<(), String> {
        if !self.refused.load(Ordering::Relaxed) {
            return Ok(());
        }
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, reason)) if self.clock.now() < at.plus(REFUSAL_COUNTS_FOR) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn is_refusal(&self, error: &GatewayError) -> bool {
        match (self.account_refused, error.code) {
            ([], _) => error.whole_gateway && error.class == ErrorClass::Configuration,
            (codes, code) => code.is_some_and(|code| codes.contains(&code)),
        }
    }

    fn note(&self, refusal: Option<(Timestamp, String)>) {
        let mut noted = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        self.refused.store(refusal.is_some(), Ordering::Relaxed);
        *noted = refusal;
    }
}

#[cfg(test)]
mod tests;
