//! The address that the server listens on, and access to it.

use super::*;
use crate::config::{LISTEN_FLAG, ListenAddress};

#[test]
fn every_address_needs_a_key_unless_only_this_machine_reaches_it() {
    for (host, listens, local_only) in [
        ("localhost", "localhost", true),
        ("127.0.0.2", "127.0.0.2", true),
        ("::1", "::1", true),
        ("[::1]", "::1", true),
        ("0.0.0.0", "0.0.0.0", false),
        ("::", "::", false),
        ("192.168.1.5", "192.168.1.5", false),
        ("otp.example.com", "otp.example.com", false),
        ("", "", false),
    ] {
        let config = format!("{{\"test-hostname\": {host:?}, \"test-port\": 0}}");
        let settings = simulating(World::with_config(&config)).settings();
        assert_eq!(settings.listen, address(listens, 0));
        let registry = settings.registry;
        assert_eq!((registry.local_only, registry.unless_keys.is_none()), (local_only, local_only), "{host}");
    }
}

#[test]
fn the_flag_beats_every_other_address() {
    let world = listening_on("127.0.0.1:9").variable("HOST", "127.0.0.5").variable("PORT", "7");
    assert_eq!(world.settings().listen, address("127.0.0.1", 9));
    assert_eq!(
        world.shows("listen address"),
        ("\"127.0.0.1:9\"".to_owned(), "the command line, --listen".to_owned())
    );
    let production = listening_on("[::1]:9").file("config.json", PRODUCTION);
    assert_eq!(production.settings().listen, address("::1", 9));
}

const PRODUCTION: &str =
    r#"{"production": true, "prod-domain": "127.0.0.1:8443", "simulator-in-production": "true"}"#;

fn simulating(world: World) -> World {
    world.variable("ONCEWARD_SIMULATOR_IN_PRODUCTION", "true")
}

fn listening_on(address: &str) -> World {
    World::empty().flag(LISTEN_FLAG, address)
}

fn address(host: &str, port: u16) -> ListenAddress {
    ListenAddress { host: host.to_owned(), port }
}
