//! What Sinch Verification needs.

use serde::Deserialize;

use secrecy::SecretString;

use super::super::reader::Reader;
use super::super::urls::BaseUrl;
use super::super::value::{Given, Setting};
use super::kinds::{Identifier, Password};
use super::offer::{Extent, Need, Offer, extent};
use crate::gateway::SinchSettings;

/// Where Sinch takes verifications unless somebody stands in for it.
const VERIFICATION_URL: &str = "https://verification.api.sinch.com/verification/v1/verifications";

pub(super) const VARIABLES: [&str; 3] = ["SINCH_APP_ID", "SINCH_APP_SECRET", "SINCH_VERIFICATION_URL"];

/// What the sources say about Sinch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SinchKeys {
    #[serde(rename = "SINCH_APP_ID")]
    app_id: Given<Identifier>,
    #[serde(rename = "SINCH_APP_SECRET")]
    app_secret: Given<Password>,
    #[serde(rename = "SINCH_VERIFICATION_URL")]
    verification_url: Given<BaseUrl>,
}

/// Reads all of it.
pub fn offer(keys: SinchKeys, reader: &mut Reader<'_>) -> Offer<SinchSettings> {
    let origins: Vec<String> = [
        reader.origin_of("SINCH_APP_ID", &keys.app_id),
        reader.origin_of("SINCH_APP_SECRET", &keys.app_secret),
        reader.origin_of("SINCH_VERIFICATION_URL", &keys.verification_url),
    ]
    .into_iter()
    .flatten()
    .collect();
    let needs = [
        Need { shown: "SINCH_APP_ID", names: &["SINCH_APP_ID"], absent: keys.app_id.is_absent() },
        Need { shown: "SINCH_APP_SECRET", names: &["SINCH_APP_SECRET"], absent: keys.app_secret.is_absent() },
    ];
    let extent = extent("Sinch", &origins, &VARIABLES, &needs, reader.report);
    if extent == Extent::Nothing {
        return Offer::Lacking("it needs SINCH_APP_ID and SINCH_APP_SECRET".to_owned());
    }
    let app_id = reader.take("SINCH_APP_ID", keys.app_id);
    let app_secret = reader.take("SINCH_APP_SECRET", keys.app_secret);
    let url_given = !keys.verification_url.is_absent();
    let url = reader.take("SINCH_VERIFICATION_URL", keys.verification_url).map(|url| url.value);
    if !url_given && let Some(default) = BaseUrl::read(VERIFICATION_URL) {
        reader.row("SINCH_VERIFICATION_URL", default.shown(), "the default");
    }
    if url.as_ref().is_some_and(BaseUrl::is_exposed) {
        reader
            .report
            .warn("SINCH_VERIFICATION_URL begins with http: credentials and codes travel unencrypted");
    }
    let url = if url_given { url.map(|url| url.0) } else { Some(VERIFICATION_URL.to_owned()) };
    Offer::unless_broken(app_id.zip(app_secret).zip(url).map(|((id, secret), verification_url)| {
        SinchSettings { app_id: id.value.0, app_secret: SecretString::from(secret.value.0), verification_url }
    }))
}
