//! What Mada needs.

use serde::Deserialize;

use secrecy::SecretString;

use super::super::reader::Reader;
use super::super::urls::PlainUrl;
use super::super::value::Given;
use super::kinds::{Login, Password, SourceName};
use super::offer::{Extent, Need, Offer, extent};
use crate::gateway::MadaSettings;

pub(super) const VARIABLES: [&str; 4] = ["MADA_USERNAME", "MADA_PASSWORD", "MADA_URL", "MADA_SOURCE_NAME"];

/// What the sources say about Mada.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MadaKeys {
    #[serde(rename = "MADA_USERNAME")]
    username: Given<Login>,
    #[serde(rename = "MADA_PASSWORD")]
    password: Given<Password>,
    #[serde(rename = "MADA_URL")]
    url: Given<PlainUrl>,
    #[serde(rename = "MADA_SOURCE_NAME")]
    source_name: Given<SourceName>,
}

/// Reads all of it.
pub fn offer(keys: MadaKeys, reader: &mut Reader<'_>) -> Offer<MadaSettings> {
    let origins: Vec<String> = [
        reader.origin_of("MADA_USERNAME", &keys.username),
        reader.origin_of("MADA_PASSWORD", &keys.password),
        reader.origin_of("MADA_URL", &keys.url),
        reader.origin_of("MADA_SOURCE_NAME", &keys.source_name),
    ]
    .into_iter()
    .flatten()
    .collect();
    let needs = [
        Need { shown: "MADA_USERNAME", names: &["MADA_USERNAME"], absent: keys.username.is_absent() },
        Need { shown: "MADA_PASSWORD", names: &["MADA_PASSWORD"], absent: keys.password.is_absent() },
        Need { shown: "MADA_URL", names: &["MADA_URL"], absent: keys.url.is_absent() },
        Need {
            shown: "MADA_SOURCE_NAME",
            names: &["MADA_SOURCE_NAME"],
            absent: keys.source_name.is_absent(),
        },
    ];
    if extent("Mada", &origins, &VARIABLES, &needs, reader.report) == Extent::Nothing {
        return Offer::Lacking(
            "it needs MADA_USERNAME, MADA_PASSWORD, MADA_URL and MADA_SOURCE_NAME".to_owned(),
        );
    }
    let username = reader.take("MADA_USERNAME", keys.username);
    let password = reader.take("MADA_PASSWORD", keys.password);
    let url = reader.take("MADA_URL", keys.url);
    let source_name = reader.take("MADA_SOURCE_NAME", keys.source_name);
    if url.as_ref().is_some_and(|url| url.value.is_exposed()) {
        reader.report.warn("MADA_URL means http: credentials and codes travel unencrypted");
    }
    let both = username.zip(password).zip(url.zip(source_name));
    Offer::unless_broken(both.map(|((username, password), (url, source_name))| MadaSettings {
        username: username.value.0,
        password: SecretString::from(password.value.0),
        url: url.value.0,
        source_name: source_name.value.0,
    }))
}
