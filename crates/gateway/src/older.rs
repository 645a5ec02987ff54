//! The gateways of older servers: recipes whose settings have variables of their own.

use std::collections::BTreeMap;

use super::{HttpGatewaySettings, Recipe};
use crate::domain::GatewayName;

/// Each gateway has the recipe of its name; a variable, and the setting that it gives.
pub const OLDER: [(GatewayName, &[(&str, &str)]); 2] = [
    (
        GatewayName::Sinch,
        &[("SINCH_APP_ID", "app_id"), ("SINCH_APP_SECRET", "app_secret"), ("SINCH_VERIFICATION_URL", "url")],
    ),
    (
        GatewayName::Mada,
        &[
            ("MADA_USERNAME", "username"),
            ("MADA_PASSWORD", "password"),
            ("MADA_URL", "url"),
            ("MADA_SOURCE_NAME", "source_name"),
        ],
    ),
];

/// The recipe of an older gateway.
pub fn recipe(gateway: GatewayName) -> Recipe {
    Recipe::named(&gateway.as_str().to_ascii_lowercase()).cloned().unwrap_or_default()
}

/// The recipe with the values of its settings. Errors name the URL as older servers do.
pub fn filled_in(gateway: GatewayName, mut values: BTreeMap<String, String>) -> HttpGatewaySettings {
    // An empty value would count as one that may be empty.
    values.retain(|name, value| name == "url" || !value.is_empty());
    if let Some(url) =
        values.get_mut("url").filter(|url| gateway == GatewayName::Mada && !url.contains("://"))
    {
        *url = format!("http://{url}");
    }
    let mut settings =
        recipe(gateway).filled_in(gateway, &format!("{gateway}_").to_ascii_uppercase(), values);
    settings.owner.path = format!("sms.{}", gateway.as_str().to_ascii_lowercase());
    let variables = OLDER.iter().filter(|(name, _)| *name == gateway).flat_map(|(_, variables)| *variables);
    settings.owner.url =
        variables.into_iter().find(|(_, setting)| *setting == "url").map(|(name, _)| (*name).to_owned());
    settings
}
