//! What `cluster` may have.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use url::{Position, Url};

use super::sources::Config;
use crate::domain::{checked, is_name};

/// One node of several that share an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterSettings {
    /// URLs of etcd's members, all http or all https, without a path.
    #[serde(deserialize_with = "etcd_urls")]
    pub etcd: Vec<String>,
    /// This node's name: 1 to 64 letters, digits, `-` and `_`. No other node has it.
    #[serde(deserialize_with = "node_name")]
    pub node: String,
    /// PEM file of the authorities that signed the certificates of etcd's members. Needed for https.
    pub etcd_ca: Option<PathBuf>,
    /// PEM file of the certificate with which this node connects to etcd. Needs `etcd-key`.
    pub etcd_cert: Option<PathBuf>,
    /// PEM file of that certificate's private key. Needs `etcd-cert`.
    pub etcd_key: Option<PathBuf>,
}

fn etcd_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    const MOST: usize = 9;
    let urls = Vec::<String>::deserialize(from)?;
    let are_all = |scheme| urls.iter().all(|url| is_member(url, scheme));
    // `HTTP://host` and `http://host:80/` are the same member.
    let different: HashSet<_> = urls.iter().map(|url| Url::parse(url).ok()).collect();
    let fits = (1..=MOST).contains(&urls.len()) && different.len() == urls.len();
    let fits = fits && (are_all("http") || are_all("https"));
    let accepted = "must be a list of one to nine different URLs, all http or all https, with a port from 1 to 65535 and without a \
                    path, a name or a password, such as [\"http://10.0.0.11:2379\"]";
    if fits { Ok(urls) } else { Err(D::Error::custom(accepted)) }
}

fn node_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, "1 to 64 letters, digits, - and _", |text| is_name(text).then(|| text.to_owned()))
}

fn is_member(url: &str, scheme: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.scheme() == scheme
            && url.has_host()
            && url.port() != Some(0)
            && url[Position::BeforePath..] == *"/"
            && url[Position::BeforeUsername..Position::BeforeHost].is_empty()
    })
}

impl ClusterSettings {
    /// With the members checked against each other, and relative paths below `directory`.
    pub(super) fn checked(self, directory: &Path, c: &mut Config) -> Self {
        let Self { etcd, etcd_ca, etcd_cert, etcd_key, .. } = &self;
        let is_secure = etcd.iter().any(|url| is_member(url, "https"));
        for (is_wrong, member, problem) in [
            (
                is_secure && etcd_ca.is_none(),
                "etcd-ca",
                "it is missing, and the URLs of etcd begin with https",
            ),
            (!is_secure && etcd_ca.is_some(), "etcd-ca", "it needs URLs of etcd that begin with https"),
            (!is_secure && etcd_cert.is_some(), "etcd-cert", "it needs URLs of etcd that begin with https"),
            (etcd_key.is_some() && etcd_cert.is_none(), "etcd-cert", "it is missing beside etcd-key"),
            (etcd_cert.is_some() && etcd_key.is_none(), "etcd-key", "it is missing beside etcd-cert"),
        ] {
            c.wrong_if(is_wrong, &format!("cluster.{member}"), problem);
        }
        let [etcd_ca, etcd_cert, etcd_key] =
            [etcd_ca, etcd_cert, etcd_key].map(|path| path.as_ref().map(|path| directory.join(path)));
        Self { etcd_ca, etcd_cert, etcd_key, ..self }
    }
}
