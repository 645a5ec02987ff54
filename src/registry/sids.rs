//! Ids that are made of names, so that they are the same after every restart and on every machine.

use sha2::{Digest, Sha256};

use crate::domain::{GatewayName, Sid, SidKind};

/// The id of a gateway where Twilio's API has a messaging service.
pub fn gateway_sid(gateway: GatewayName) -> Sid {
    of_name(SidKind::MessagingService, "gateway", gateway.as_str())
}

/// The id of a template of config.json, or of one that is built in.
pub fn template_sid(name: &str) -> Sid {
    of_name(SidKind::Template, "template", name)
}

/// The first half of a SHA-256 over what it is and its name.
fn of_name(kind: SidKind, what: &str, name: &str) -> Sid {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Sid::new(kind, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_name_never_changes() {
        // Callers keep these ids.
        assert_eq!(gateway_sid(GatewayName::Simulator).to_string(), "MG28bffce43223e458b91813bcdf28c06a");
        assert_eq!(template_sid("login").to_string(), "HJ4b4410793c052fe2e47c0628d8089871");
    }

    #[test]
    fn two_names_have_two_ids() {
        let mut sids: Vec<Sid> = GatewayName::ALL.into_iter().map(gateway_sid).collect();
        sids.push(template_sid("Simulator"));
        let count = sids.len();
        sids.sort();
        sids.dedup();
        assert_eq!(sids.len(), count);
    }
}
