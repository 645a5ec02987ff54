//! Sinch Verification: the recipe `sinch` with variables of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{HttpGatewaySettings, Recipe};
use crate::domain::GatewayName;
use crate::setting::As;
use crate::setting::values::{BaseUrl, Identifier, Password};

/// Each is a variable.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct SinchSettings {
    /// The application's key.
    #[serde(rename = "SINCH_APP_ID", with = "As::<Identifier>")]
    pub app_id: String,
    /// The application's secret.
    #[serde(rename = "SINCH_APP_SECRET", with = "As::<Password>")]
    pub app_secret: SecretString,
    /// Where verifications are posted.
    #[serde(rename = "SINCH_VERIFICATION_URL", default = "default_url", with = "As::<BaseUrl>")]
    pub verification_url: Arc<str>,
}

fn default_url() -> Arc<str> {
    "https://verification.api.sinch.com/verification/v1/verifications".into()
}

impl SinchSettings {
    /// The recipe with these settings.
    pub fn filled_in(&self) -> HttpGatewaySettings {
        let values = [
            ("app_id", self.app_id.as_str()),
            ("app_secret", self.app_secret.expose_secret()),
            ("url", &*self.verification_url),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let recipe = Recipe::named("sinch").cloned().unwrap_or_default();
        let mut settings = recipe.filled_in(GatewayName::Sinch, "SINCH_", BTreeMap::from(values));
        "sms.sinch".clone_into(&mut settings.owner.path);
        settings.owner.url = Some("sms.sinch.verification_url (SINCH_VERIFICATION_URL)".to_owned());
        settings
    }
}

#[cfg(test)]
mod tests;
