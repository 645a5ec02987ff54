//! The variables of older servers build the same gateways.

use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::{Gateway, GatewaySettingsError, ProviderSettings};

#[test]
fn the_refusal_of_a_setting_names_the_variable_of_older_servers() {
    for (setting, value, named) in [
        ("username", "", "MADA_USERNAME"),
        ("username", "a:b", "MADA_USERNAME"),
        ("password", "", "MADA_PASSWORD"),
        ("url", "", "MADA_URL"),
        ("url", "ftp://a", "MADA_URL"),
        ("url", "u:hunter2@mada.example.com", "MADA_URL"),
        // An address without a scheme is plain HTTP.
        ("url", "mada.example.com:8080/sos", ""),
        ("url", "https://mada.example.com/a", ""),
    ] {
        let usual = [("username", "me"), ("password", "s3cr3t"), ("url", "127.0.0.1"), ("source_name", "A")];
        // The last of a name counts.
        let built = built(GatewayName::Mada, &[&usual[..], &[(setting, value)]].concat());
        let error = built.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(named) && error.is_empty() == named.is_empty(), "{value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

fn built(name: GatewayName, values: &[(&str, &str)]) -> Result<Arc<dyn Gateway>, GatewaySettingsError> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(0)));
    ProviderSettings::Http(filled_in(name, values.collect())).build(clock)
}
