//! What the gateways of one account share: the client, the credentials, the account's standing.

use std::fmt;
use std::sync::Arc;

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use url::Url;

use super::codes::{CREDENTIALS, SUSPENDED};
use super::settings::{ACCOUNT_SID, BASE_URL, authorization, check_id};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};
use crate::gateway::wire::{
    Answer, HttpClient, Meaning, Request, Standing, as_sent, base_url, below, client_for, not_answered,
};
use crate::gateway::{ErrorClass, GatewayError, GatewaySettingsError, TwilioAccount};

/// An account, as one gateway uses it.
pub(super) struct Account {
    gateway: GatewayName,
    client: HttpClient,
    headers: HeaderMap,
    base: Url,
    sid: String,
    standing: Standing,
}

impl Account {
    /// Prepares what is the same for every request. Sends nothing. The clock dates a refusal of the
    /// account, for readiness.
    pub(super) fn new(
        gateway: GatewayName,
        settings: &TwilioAccount,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GatewaySettingsError> {
        let TwilioAccount { account_sid, auth_token, base_url: url } = settings;
        check_id(gateway, ACCOUNT_SID, "AC", account_sid)?;
        let base = base_url(gateway, BASE_URL, url)?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization(gateway, account_sid, auth_token)?),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let client = client_for(gateway, BASE_URL, &base)?;
        let standing = Standing::by(clock, refuses_account);
        Ok(Self { gateway, client, headers, base, sid: account_sid.clone(), standing })
    }

    /// The URL of something that belongs to the account, such as `Messages.json`.
    pub(super) fn resource(&self, name: &str) -> Result<Uri, GatewaySettingsError> {
        self.url(&format!("2010-04-01/Accounts/{}/{name}", self.sid))
    }

    /// The URL of a path, which is given without a leading slash.
    pub(super) fn url(&self, path: &str) -> Result<Uri, GatewaySettingsError> {
        below(&self.base, path).as_ref().and_then(as_sent).ok_or_else(|| {
            GatewaySettingsError::new(self.gateway, BASE_URL, "must be a URL that a path can be added to")
        })
    }

    /// Posts a form once, has the answer read, and learns from it about the account.
    pub(super) async fn post<T>(
        &self,
        address: Uri,
        form: String,
        read: impl FnOnce(GatewayName, &Answer) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let headers = self.headers.clone();
        let request = Request { method: Method::POST, address, headers, body: form.into() };
        self.standing.learn(match self.client.send(request).await {
            Ok(answer) => read(self.gateway, &answer),
            Err(no_answer) => Err(not_answered(self.gateway, no_answer)),
        })
    }

    /// A message that is not even tried. It says nothing about others.
    pub(super) fn not_tried(&self, detail: String) -> GatewayError {
        Meaning::of_this_message(ErrorClass::Configuration).error(self.gateway, None, detail)
    }

    pub(super) fn not_served(&self, channel: Channel) -> GatewayError {
        self.not_tried(format!("was asked for the channel {}, which it does not serve", channel.as_str()))
    }

    pub(super) fn readiness(&self) -> Result<(), String> {
        self.standing.readiness()
    }
}

/// Only these two say it of the account. Others that every message meets, such as a sender that is
/// not there, can be one gateway's alone: they open its circuit and leave the server ready.
fn refuses_account(error: &GatewayError) -> bool {
    matches!(error.code, Some(CREDENTIALS | SUSPENDED))
}

impl fmt::Debug for Account {
    /// Shows where requests go; in whose name is left out, like the credentials in the headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}
