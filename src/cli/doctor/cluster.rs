//! The cluster: the members of etcd, the owner of the records, and whether each node answers where others reach it.

use onceward_cluster::{ClusterView, FULL_REMEDY, MemberStatus};

use super::super::CommandError;
use super::super::client::runtime;
use super::Findings;
use crate::config::Settings;
use crate::server::{self, ClusterReport};

const MIB: u64 = 1024 * 1024;

const ETCD: &str = "start the member; let this machine reach it; compare its certificate with etcd-ca, and etcd-cert with \
                    the authority that it trusts";

const NODE: &str = "compare the node's \"advertise\" with where it listens, and peer-ca with its certificate; let this \
                    machine reach it";

pub(super) fn examine(settings: &Settings, findings: &mut Findings) -> Result<(), CommandError> {
    let Some(cluster) = &settings.cluster else { return Ok(()) };
    // The configuration has said which file cannot be used.
    let Ok(report) = runtime()?.block_on(server::ask_all(settings, cluster)) else { return Ok(()) };
    let ClusterReport { members, view, is_other_key, nodes } = report;
    let mut is_full = false;
    for (url, status) in members {
        let check = format!("etcd {url}");
        match status {
            Ok(MemberStatus { errors, .. }) if !errors.is_empty() => {
                let has_no_space = errors.iter().any(|error| error.contains("NOSPACE"));
                is_full |= has_no_space;
                let remedy = if has_no_space { FULL_REMEDY } else { "see the log of the member" };
                findings.fail(check, errors.join("; "), remedy);
            }
            Ok(MemberStatus { has_leader: false, .. }) => {
                findings.fail(check, "it knows no leader", "start a majority of the members");
            }
            Ok(MemberStatus { version, db_bytes, .. }) => {
                findings.ok(check, format!("version {version}, {} MiB", db_bytes / MIB));
            }
            // The others suffice.
            Err(error) if view.is_ok() => findings.warn(check, error.to_string(), ETCD),
            Err(error) => findings.fail(check, error.to_string(), ETCD),
        }
    }
    match &view {
        Err(error) => findings.fail("owner", error.to_string(), "start a majority of etcd's members"),
        Ok(_) if is_other_key => findings.fail(
            "owner",
            "the records in etcd were written with another server key",
            "give every node the same file (\"key-file\")",
        ),
        Ok(ClusterView { is_importing: true, .. }) => findings.fail(
            "owner",
            "no node owns the records: an import is not complete",
            "wait for its end; if it was interrupted, run it again",
        ),
        Ok(ClusterView { owner: Some((node, address)), .. }) => {
            findings.ok("owner", format!("node {node} at {address}"));
        }
        // Nodes that run are not in etcd, if they started meanwhile.
        Ok(ClusterView { owner: None, .. }) if is_full => {
            findings.fail("owner", "no node owns the records, and none can while etcd is full", FULL_REMEDY);
        }
        Ok(ClusterView { owner: None, nodes, .. }) if nodes.is_empty() => {
            findings.warn("owner", "no node runs", "start the nodes");
        }
        Ok(ClusterView { owner: None, .. }) => {
            findings.fail("owner", "no node owns the records", "start the nodes, and see their logs");
        }
    }
    for (node, address, answer) in nodes {
        let check = format!("node {node} at {address}");
        match answer {
            Ok(()) => findings.ok(check, "answers"),
            Err(why) => findings.fail(check, why, NODE),
        }
    }
    Ok(())
}
