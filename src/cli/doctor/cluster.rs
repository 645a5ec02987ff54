//! The cluster: the members of etcd, the owner of the records, and whether each node answers where others reach it.

use onceward_cluster::{ClusterView, FULL_REMEDY, MemberStatus};

use super::super::CommandError;
use super::super::client::runtime;
use super::super::findings::{Findings, fail, ok, warn};
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
        let found = match status {
            Ok(MemberStatus { errors, .. }) if !errors.is_empty() => {
                let has_no_space = errors.iter().any(|error| error.contains("NOSPACE"));
                is_full |= has_no_space;
                fail(errors.join("; "), if has_no_space { FULL_REMEDY } else { "see the log of the member" })
            }
            Ok(MemberStatus { has_leader: false, .. }) => {
                fail("it knows no leader", "start a majority of the members")
            }
            Ok(MemberStatus { version, db_bytes, .. }) => {
                ok(format!("version {version}, {} MiB", db_bytes / MIB))
            }
            // The others suffice.
            Err(error) if view.is_ok() => warn(error.to_string(), ETCD),
            Err(error) => fail(error.to_string(), ETCD),
        };
        findings.add(format!("etcd {url}"), found);
    }
    let owner = match &view {
        Err(error) => fail(error.to_string(), "start a majority of etcd's members"),
        Ok(_) if is_other_key => fail(
            "the records in etcd were written with another server key",
            "give every node the same file (\"key-file\")",
        ),
        Ok(ClusterView { is_importing: true, .. }) => fail(
            "no node owns the records: an import is not complete",
            "wait for its end; if it was interrupted, run it again",
        ),
        Ok(ClusterView { owner: Some((node, address)), .. }) => ok(format!("node {node} at {address}")),
        // Nodes that run are not in etcd, if they started meanwhile.
        Ok(_) if is_full => fail("no node owns the records, and none can while etcd is full", FULL_REMEDY),
        Ok(ClusterView { nodes, .. }) if nodes.is_empty() => warn("no node runs", "start the nodes"),
        Ok(_) => fail("no node owns the records", "start the nodes, and see their logs"),
    };
    findings.add("owner", owner);
    for (node, address, answer) in nodes {
        let found = answer.map_or_else(|why| fail(why, NODE), |()| ok("answers"));
        findings.add(format!("node {node} at {address}"), found);
    }
    Ok(())
}
