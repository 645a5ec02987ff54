//! Where it listens, and who may reach it.

use super::*;
use crate::config::ListenAddress;

#[test]
fn an_address_that_others_reach_needs_the_line_that_allows_it() {
    for host in ["0.0.0.0", "::", "192.168.1.5", "otp.example.com", ""] {
        let error = World::with_config(&format!("{{\"test-hostname\": {host:?}}}")).error();
        says(
            &error,
            &["\"allow-unauthenticated\": true", "ONCEWARD_ALLOW_UNAUTHENTICATED=true", "test-hostname"],
        );
        let allowed = format!("{{\"test-hostname\": {host:?}, \"allow-unauthenticated\": true}}");
        assert_eq!(World::with_config(&allowed).settings().listen.host, host);
    }
}

#[test]
fn a_wrong_port_does_not_hide_what_is_wrong_with_the_host() {
    for (host, subject) in
        [("0.0.0.0", "listen address 0.0.0.0: it is not"), ("", "listen address: it means")]
    {
        let world = World::with_config(&format!("{{\"test-hostname\": {host:?}, \"test-port\": 70000}}"));
        let errors = world.errors();
        assert_eq!(errors.len(), 2, "{errors:#?}");
        says(&errors.join("\n"), &["test-port = 70000", subject, "key \"test-hostname\""]);
    }
    assert_eq!(World::with_config(r#"{"test-port": "many"}"#).errors().len(), 1);
}

#[test]
fn an_address_of_this_machine_alone_needs_nothing() {
    for (host, listens) in
        [("localhost", "localhost"), ("127.0.0.2", "127.0.0.2"), ("::1", "::1"), ("[::1]", "::1")]
    {
        let world = World::with_config(&format!("{{\"test-hostname\": {host:?}, \"test-port\": 0}}"));
        assert_eq!(world.settings().listen, address(listens, 0));
    }
}

#[test]
fn the_flag_beats_every_other_address() {
    let world = listening_on("127.0.0.1:9").variable("HOST", "127.0.0.5").variable("PORT", "7");
    assert_eq!(world.settings().listen, address("127.0.0.1", 9));
    assert_eq!(
        world.shows("listen address"),
        ("127.0.0.1:9".to_owned(), "the command line, --listen".to_owned())
    );
    let production = listening_on("[::1]:9").file("config.json", PRODUCTION);
    assert_eq!(production.settings().listen, address("::1", 9));
}

#[test]
fn the_flag_is_guarded_and_checked_like_any_other() {
    says(&listening_on(":3000").error(), &["every address", "allow-unauthenticated", "--listen"]);
    says(&listening_on("localhost").error(), &["--listen = \"localhost\"", "host:port"]);
    says(&listening_on("").error(), &["--listen", "host:port"]);
}

#[test]
fn in_production_it_listens_on_the_domain() {
    let world = World::with_config(PRODUCTION);
    assert_eq!(world.settings().listen, address("127.0.0.1", 8443));
    assert!(world.settings().production);
    let every = World::with_config(
        r#"{"production": true, "prod-domain": ":80", "allow-unauthenticated": "true", "simulator-in-production": 1}"#,
    );
    says(&every.error(), &["simulator-in-production = 1", "true or false"]);
    let every = World::with_config(
        r#"{"production": true, "prod-domain": ":80", "allow-unauthenticated": "true",
            "simulator-in-production": true}"#,
    );
    assert_eq!(every.settings().listen, address("", 80));
}

#[test]
fn in_production_an_empty_domain_is_an_error() {
    let world =
        World::with_config(r#"{"production": "true", "prod-domain": "", "simulator-in-production": true}"#);
    says(&world.error(), &["prod-domain", "empty", ":port", "config.json, key \"prod-domain\""]);
}

#[test]
fn in_production_others_reach_the_domain_only_when_that_is_allowed() {
    let world =
        World::with_config(r#"{"production": true, "prod-domain": ":443", "simulator-in-production": true}"#);
    says(&world.error(), &["listen address :443", "\"allow-unauthenticated\": true", "key \"prod-domain\""]);
}

#[test]
fn a_domain_is_no_url() {
    let world = World::with_config(
        r#"{"production": true, "prod-domain": "https://example.com", "simulator-in-production": true}"#,
    );
    says(&world.error(), &["prod-domain = \"https://example.com\"", "without a scheme"]);
}

const PRODUCTION: &str =
    r#"{"production": true, "prod-domain": "127.0.0.1:8443", "simulator-in-production": "true"}"#;

fn listening_on(address: &str) -> World {
    World::empty().flags(Overrides { listen: Some(address.to_owned()), ..Overrides::default() })
}

fn address(host: &str, port: u16) -> ListenAddress {
    ListenAddress { host: host.to_owned(), port }
}
