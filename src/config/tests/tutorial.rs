//! The environment of the tutorial's project.

use secrecy::ExposeSecret as _;

use super::*;
use crate::config::ListenAddress;

#[test]
fn its_env_file_starts_unchanged() {
    let world = World::empty().file(
        ".env",
        "HOST=http://localhost\nPORT=5000\nREDIS_URL=redis://localhost:6379\n\
         TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef\nTWILIO_AUTH_TOKEN='0f1e2d3c4b5a69788796a5b4c3d2e1f0'\n\
         TWILIO_PHONE_NUMBER=\"+14155552671\"\n",
    );
    assert_eq!(world.settings().listen, at("localhost", 5000));
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    assert_eq!(world.warnings(), ["REDIS_URL ignored: onceward needs no Redis"]);
}

#[test]
fn host_and_port_beat_the_file_but_not_our_own_variables() {
    let config = r#"{"test-hostname": "127.0.0.1", "test-port": 1}"#;
    let world = World::with_config(config).variable("HOST", "127.0.0.2").variable("PORT", "2");
    assert_eq!(world.settings().listen, at("127.0.0.2", 2));
    assert_eq!(world.shows("listen address").1, "the environment, HOST and the environment, PORT");
    let world = world.variable("ONCEWARD_TEST_PORT", "3");
    assert_eq!(world.settings().listen, at("127.0.0.2", 3));
}

#[test]
fn a_port_in_the_url_counts_unless_there_is_one_of_its_own() {
    let world = World::empty().variable("HOST", "http://localhost:5000");
    assert_eq!(world.settings().listen, at("localhost", 5000));
    assert_eq!(world.variable("PORT", "6000").settings().listen, at("localhost", 6000));
}

#[test]
fn variables_of_the_process_beat_the_files() {
    let world = World::empty().file(".env", "ONCEWARD_TEST_PORT=1\nPORT=2").variable("PORT", "3");
    assert_eq!(world.settings().listen, at("localhost", 3));
}

#[test]
fn a_host_that_is_none_is_an_error() {
    let world = World::empty().variable("HOST", "ftp://localhost").variable("PORT", "many");
    let errors = world.errors().join("\n");
    says(&errors, &["HOST = \"ftp://localhost\"", "http://localhost", "test-port = \"many\"", "PORT"]);
}

#[test]
fn an_exported_host_that_is_no_address_of_this_machine_is_ignored() {
    for (host, shown) in [
        ("x86_64-conda-linux-gnu", "x86_64-conda-linux-gnu"),
        ("http://192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
    ] {
        let world = World::empty().variable("HOST", host).variable("PORT", "5000");
        assert_eq!(world.settings().listen, at("localhost", 5000), "{host}");
        let warnings = world.warnings().join("\n");
        says(&warnings, &["the environment, HOST", shown, "unset HOST"]);
    }
    // A project's own file means it.
    let world = World::with_twilio().file(".env", "HOST=192.0.2.1");
    assert_eq!(world.settings().listen.host, "192.0.2.1");
}

#[test]
fn a_host_that_others_reach_needs_a_key_or_the_line_that_allows_it() {
    let world = World::with_twilio().variable("HOST", "http://0.0.0.0");
    says(&world.unless_keys(), &["listen address 0.0.0.0:3000", "\"allow-unauthenticated\": true", "HOST"]);
}

fn at(host: &str, port: u16) -> ListenAddress {
    ListenAddress { host: host.to_owned(), port }
}
