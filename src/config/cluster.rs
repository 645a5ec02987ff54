//! What `cluster` may have.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::forms::{Form as _, ListenAddress, MINUTE, Span, checked, is_name};
use super::layers::Context;

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
    /// Where other nodes reach this one: host:port.
    #[serde(deserialize_with = "node_address")]
    pub advertise: String,
    /// PEM file of the authorities that signed the certificates of etcd's members. Needed for https.
    #[serde(default)]
    pub etcd_ca: Option<PathBuf>,
    /// PEM file of the certificate with which this node connects to etcd. Needs `etcd-key`.
    #[serde(default)]
    pub etcd_cert: Option<PathBuf>,
    /// PEM file of that certificate's private key. Needs `etcd-cert`.
    #[serde(default)]
    pub etcd_key: Option<PathBuf>,
    /// PEM file of the authorities that signed the nodes' certificates (`tls-cert`). Without it those that the system
    /// trusts.
    #[serde(default)]
    pub peer_ca: Option<PathBuf>,
    /// For how long a request waits for an owner. Then it is answered 503.
    #[serde(default = "default_wait", with = "Span::<10, MINUTE>")]
    pub wait: Duration,
}

/// Longer than a standby usually needs to take over.
const fn default_wait() -> Duration {
    Duration::from_secs(4)
}

fn etcd_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    const MOST: usize = 9;
    let urls = Vec::<String>::deserialize(from)?;
    let are_all = |scheme| urls.iter().all(|url| is_member(url, scheme));
    // `HTTP://host` and `http://host:80/` are the same member.
    let different: HashSet<_> = urls.iter().map(|url| Url::parse(url).ok()).collect();
    let fits = (1..=MOST).contains(&urls.len()) && different.len() == urls.len();
    if fits && (are_all("http") || are_all("https")) {
        return Ok(urls);
    }
    Err(D::Error::custom(
        "must be a list of one to nine different URLs, all http or all https, with a port from 1 to 65535 and without a path, a \
         name or a password, such as [\"http://10.0.0.11:2379\"]",
    ))
}

fn node_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, "1 to 64 letters, digits, - and _", |text| is_name(text).then(|| text.to_owned()))
}

fn node_address<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted = "host:port with a port from 1 to 65535, such as \"10.0.0.5:3000\", and not the address of every interface";
    checked(from, accepted, |text| {
        let address = ListenAddress::read(text)?;
        let is_every = address.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        (!address.host.is_empty() && !is_every && address.port != 0).then(|| text.to_owned())
    })
}

fn is_member(url: &str, scheme: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.scheme() == scheme
            && url.has_host()
            && url.port() != Some(0)
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// Checks the members against each other.
pub(super) fn check(settings: &ClusterSettings, c: &mut Context) {
    let ClusterSettings { etcd, etcd_ca, etcd_cert, etcd_key, .. } = settings;
    let is_secure = etcd.iter().any(|url| is_member(url, "https"));
    for (is_wrong, member, problem) in [
        (is_secure && etcd_ca.is_none(), "etcd-ca", "it is missing, and the URLs of etcd begin with https"),
        (!is_secure && etcd_ca.is_some(), "etcd-ca", "it needs URLs of etcd that begin with https"),
        (!is_secure && etcd_cert.is_some(), "etcd-cert", "it needs URLs of etcd that begin with https"),
        (etcd_key.is_some() && etcd_cert.is_none(), "etcd-cert", "it is missing beside etcd-key"),
        (etcd_cert.is_some() && etcd_key.is_none(), "etcd-key", "it is missing beside etcd-cert"),
    ] {
        if is_wrong {
            c.wrong(&format!("cluster.{member}"), None, problem);
        }
    }
}

impl ClusterSettings {
    /// Relative paths begin in `directory`.
    pub(super) fn below(&mut self, directory: &Path) {
        let Self { etcd_ca, etcd_cert, etcd_key, peer_ca, .. } = self;
        for path in [etcd_ca, etcd_cert, etcd_key, peer_ca].into_iter().flatten() {
            *path = directory.join(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::super::layers::{Overrides, Program, Sources};
    use super::super::load;
    use super::*;

    /// The settings, or the members that are wrong.
    fn given(change: impl FnOnce(&mut Value)) -> Result<Option<ClusterSettings>, Vec<String>> {
        let mut value =
            json!({ "etcd": ["http://10.0.0.1:2379"], "node": "a", "advertise": "10.0.0.5:3000" });
        change(&mut value);
        let values = [("cluster".to_owned(), value)].into_iter().collect();
        let program = Program { values, alone: true, ..Program::default() };
        let loaded = load(&Sources {
            config_file: None,
            working_dir: PathBuf::new(),
            environment: BTreeMap::new(),
            overrides: Overrides { program, ..Overrides::default() },
            parallelism: 1,
        });
        loaded.map(|loaded| loaded.settings.cluster).map_err(|errors| {
            let mut subjects: Vec<String> = errors.iter().map(|error| error.subject.clone()).collect();
            subjects.sort();
            subjects
        })
    }

    #[test]
    fn a_wrong_member_of_cluster_is_named() {
        assert_eq!(given(|_| ()).map(|settings| settings.map(|node| node.node)), Ok(Some("a".to_owned())));
        for (member, wrong) in [
            ("etcd", json!([])),
            ("etcd", json!(["10.0.0.1:2379"])),
            ("etcd", json!(["http://10.0.0.1:2379/v3"])),
            ("etcd", json!(["http://user:secret@10.0.0.1:2379"])),
            ("etcd", json!(["https://10.0.0.1:2379", "http://10.0.0.1:2379"])),
            ("etcd", json!(["http://10.0.0.1:0"])),
            ("etcd", json!(["http://10.0.0.1:2379", "http://10.0.0.1:2379/"])),
            ("node", json!("")),
            ("node", json!("a b")),
            ("advertise", json!(":3000")),
            ("advertise", json!("10.0.0.5")),
            ("advertise", json!("10.0.0.5:0")),
            ("advertise", json!("0.0.0.0:3000")),
            ("advertise", json!("[::]:3000")),
            ("etcd-ca", json!("ca.pem")),
            ("etcd-ca", json!(1)),
        ] {
            let named = given(|value| value[member] = wrong.clone());
            assert_eq!(named, Err(vec![format!("cluster.{member}")]), "{wrong}");
        }
        let missing = given(|value| *value = json!({ "etcd": ["http://10.0.0.1:2379"], "node": "a" }));
        assert_eq!(missing, Err(vec!["cluster.advertise".to_owned()]));
    }

    #[test]
    fn https_needs_an_authority_and_a_certificate_needs_its_key() {
        for (more, missing) in [
            (json!({ "etcd-ca": "ca.pem" }), None),
            (json!({ "etcd-ca": "ca.pem", "etcd-cert": "c.pem", "etcd-key": "k.pem" }), None),
            (json!({ "etcd-ca": "ca.pem", "etcd-cert": "c.pem" }), Some("cluster.etcd-key")),
            (json!({ "etcd-ca": "ca.pem", "etcd-key": "k.pem" }), Some("cluster.etcd-cert")),
            (json!({}), Some("cluster.etcd-ca")),
        ] {
            let read = given(|value| {
                value["etcd"] = json!(["https://10.0.0.1:2379"]);
                if let (Value::Object(value), Value::Object(more)) = (value, more) {
                    value.extend(more);
                }
            });
            assert_eq!(read.err(), missing.map(|member| vec![member.to_owned()]));
        }
    }
}
