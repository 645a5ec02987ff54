//! What the gateways of one account share: the client, the credentials, the account's standing.

use std::fmt;
use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};

use super::super::http_client::{Answer, HttpClient, NoAnswer, is_this_machine};
use super::super::{ErrorClass, GatewayError, TwilioAccount};
use super::settings::{TwilioSettingsError, authorization, base, check_id};
use super::standing::AccountStanding;
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

/// An account, as one gateway uses it.
pub(super) struct Account {
    gateway: GatewayName,
    client: HttpClient,
    headers: HeaderMap,
    /// Without a trailing slash.
    base: String,
    sid: String,
    standing: AccountStanding,
    clock: Arc<dyn Clock>,
}

impl Account {
    /// Prepares what is the same for every request. Sends nothing.
    pub(super) fn new(
        gateway: GatewayName,
        settings: TwilioAccount,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TwilioSettingsError> {
        let TwilioAccount { account_sid, auth_token, base_url } = settings;
        check_id(&account_sid, TwilioSettingsError::AccountSid)?;
        let target = base(&base_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization(&account_sid, &auth_token)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let client = HttpClient::for_target(&target)
            .map_err(|error| TwilioSettingsError::Client(error.to_string()))?;
        if target.scheme() == "http" && !is_this_machine(&target) {
            tracing::warn!(
                gateway = gateway.as_str(),
                host = target.host_str(),
                "the base URL is not https: codes and credentials cross the network unprotected"
            );
        }
        let base = target.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            gateway,
            client,
            headers,
            base,
            sid: account_sid,
            standing: AccountStanding::default(),
            clock,
        })
    }

    /// The URL of something that belongs to the account, such as `Messages.json`.
    pub(super) fn resource(&self, name: &str) -> Result<Url, TwilioSettingsError> {
        self.url(&format!("2010-04-01/Accounts/{}/{name}", self.sid))
    }

    /// The URL of a path, which is given without a leading slash.
    pub(super) fn url(&self, path: &str) -> Result<Url, TwilioSettingsError> {
        Url::parse(&format!("{}/{path}", self.base)).map_err(|_| TwilioSettingsError::BaseUrl)
    }

    /// Posts a form once, has the answer read, and learns from it about the account.
    pub(super) async fn post<T>(
        &self,
        url: Url,
        form: String,
        read: impl FnOnce(GatewayName, &Answer) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let mut request = Request::new(Method::POST, url);
        self.headers.clone_into(request.headers_mut());
        *request.body_mut() = Some(form.into());
        let result = match self.client.send(request).await {
            Ok(answer) => read(self.gateway, &answer),
            // Without a connection the same call may work on the next try.
            Err(NoAnswer::NotConnected(why)) => {
                Err(self.unanswered(ErrorClass::Retry { after: None }, format!("was not reached: {why}")))
            }
            Err(NoAnswer::Broken(why)) => {
                Err(self.unanswered(ErrorClass::Ambiguous, format!("did not answer: {why}")))
            }
        };
        self.standing.learn_from(&result, || self.clock.now());
        result
    }

    fn unanswered(&self, class: ErrorClass, detail: String) -> GatewayError {
        GatewayError { gateway: self.gateway, class, code: None, detail, whole_gateway: true }
    }

    /// A message that is not even tried. It says nothing about others.
    pub(super) fn not_tried(&self, detail: String) -> GatewayError {
        let class = ErrorClass::Configuration;
        GatewayError { gateway: self.gateway, class, code: None, detail, whole_gateway: false }
    }

    pub(super) fn not_served(&self, channel: Channel) -> GatewayError {
        self.not_tried(format!("was asked for the channel {}, which it does not serve", channel.as_str()))
    }

    pub(super) fn readiness(&self) -> Result<(), String> {
        self.standing.readiness(self.gateway, self.clock.now())
    }
}

impl fmt::Debug for Account {
    /// Shows where requests go; in whose name is left out, like the credentials in the headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("base", &self.base).finish_non_exhaustive()
    }
}
