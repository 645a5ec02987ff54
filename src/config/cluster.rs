//! What `cluster` may have.

use std::path::{Path, PathBuf};

use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::kind::{Kind as _, kinds, object_of};
use super::schema::properties;
use super::values::HostPort;

/// One node of several that share an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterSettings {
    /// URLs of etcd's members, all http or all https, without a path.
    pub etcd: Vec<String>,
    /// This node's name: 1 to 64 letters, digits, `-` and `_`. No other node has it.
    pub node: String,
    /// Where other nodes reach this one: host:port.
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
}

kinds! {
    /// The object.
    ClusterObject -> ClusterSettings {
        accepted: "an object such as {\"etcd\": [\"http://10.0.0.11:2379\"], \"node\": \"a\", \"advertise\": \"10.0.0.5:3000\"}, with \
                   one to nine http or https URLs without a path, a node of 1 to 64 letters, digits, - and _, \
                   \"etcd-ca\" exactly for https, and \"etcd-cert\" and \"etcd-key\" together",
        schema: json_schema!({
            "type": "object", "required": ["etcd", "node", "advertise"], "additionalProperties": false,
            "properties": properties::<ClusterSettings>(),
        }),
        of: |value| {
            let settings = serde_json::from_value::<ClusterSettings>(Value::Object(object_of(value)?)).ok()?;
            settings.is_usable().then_some(settings)
        },
        shown: |settings| {
            let ClusterSettings { etcd, node, advertise, .. } = settings;
            json!(format!("node {node} at {advertise}, etcd at {}", etcd.join(", ")))
        },
    }
}

impl ClusterSettings {
    fn is_usable(&self) -> bool {
        let Self { etcd, node, advertise, etcd_ca, etcd_cert, etcd_key, peer_ca: _ } = self;
        let scheme = if etcd_ca.is_some() { "https" } else { "http" };
        let is_member = |url: &String| {
            Url::parse(url).is_ok_and(|url| {
                url.scheme() == scheme
                    && url.has_host()
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none()
            })
        };
        let is_named = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_address =
            HostPort::read(advertise).flatten().is_some_and(|at| !at.host.is_empty() && at.port != 0);
        (1..=9).contains(&etcd.len())
            && etcd.iter().all(is_member)
            && (1..=64).contains(&node.len())
            && is_named(node)
            && is_address
            && etcd_cert.is_some() == etcd_key.is_some()
            && (etcd_ca.is_some() || etcd_cert.is_none())
    }

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
    use super::*;

    fn given(change: impl FnOnce(&mut Value)) -> Option<ClusterSettings> {
        let mut value =
            json!({ "etcd": ["http://10.0.0.1:2379"], "node": "a", "advertise": "10.0.0.5:3000" });
        change(&mut value);
        ClusterObject::of(&value)
    }

    #[test]
    fn a_node_needs_etcd_a_name_and_an_address() {
        assert_eq!(given(|_| ()).map(|settings| settings.node), Some("a".to_owned()));
        for (member, wrong) in [
            ("etcd", json!([])),
            ("etcd", json!(["10.0.0.1:2379"])),
            ("etcd", json!(["http://10.0.0.1:2379/v3"])),
            ("etcd", json!(["http://user:secret@10.0.0.1:2379"])),
            ("etcd", json!(["https://10.0.0.1:2379"])),
            ("node", json!("")),
            ("node", json!("a b")),
            ("advertise", json!(":3000")),
            ("advertise", json!("10.0.0.5")),
            ("advertise", json!("10.0.0.5:0")),
            ("etcd-ca", json!("ca.pem")),
            ("other", json!(1)),
        ] {
            assert_eq!(given(|value| value[member] = wrong.clone()), None, "{member}: {wrong}");
        }
    }

    #[test]
    fn https_needs_an_authority_and_a_certificate_needs_its_key() {
        let secure = |more: Value| {
            given(|value| {
                value["etcd"] = json!(["https://10.0.0.1:2379"]);
                if let (Value::Object(value), Value::Object(more)) = (value, more) {
                    value.extend(more);
                }
            })
        };
        assert!(secure(json!({ "etcd-ca": "ca.pem" })).is_some());
        assert!(secure(json!({ "etcd-ca": "ca.pem", "etcd-cert": "c.pem", "etcd-key": "k.pem" })).is_some());
        assert!(secure(json!({ "etcd-ca": "ca.pem", "etcd-cert": "c.pem" })).is_none());
        assert!(secure(json!({})).is_none());
    }
}
