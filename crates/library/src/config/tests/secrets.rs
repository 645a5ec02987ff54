//! Allowed sources of secrets; no output shows one.

use secrecy::ExposeSecret as _;

use super::*;

/// Of the warning about a file.
const READABLE: &str = "every user of this machine can read the file";

#[test]
fn a_secret_may_be_in_a_file_that_a_variable_names() {
    let world = World::with_twilio()
        .without("TWILIO_AUTH_TOKEN")
        .file("token", &format!("  {TOKEN}\n"))
        .variable("TWILIO_AUTH_TOKEN_FILE", "token");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    let (value, origin) = world.shows("TWILIO_AUTH_TOKEN");
    assert_eq!(value, "(set, not shown)");
    says(&origin, &["token", "the environment, TWILIO_AUTH_TOKEN_FILE"]);
}

#[test]
fn a_file_with_a_secret_that_others_can_read_is_a_warning() {
    let mut world = World::with_twilio()
        .without("TWILIO_AUTH_TOKEN")
        .file("secret", TOKEN)
        .variable("TWILIO_AUTH_TOKEN_FILE", "secret");
    for (mode, expected) in [(0o644, true), (0o444, true), (0o640, false), (0o600, false)] {
        world = world.mode("secret", mode);
        let warnings = world.warnings().join("\n");
        let is_named = warnings.contains(READABLE) && warnings.contains("TWILIO_AUTH_TOKEN_FILE");
        assert_eq!(is_named, expected, "{mode:o}: {warnings}");
        assert!(!warnings.contains(TOKEN));
    }
}

#[test]
fn an_env_file_with_a_secret_that_others_can_read_is_a_warning() {
    for (name, mode, expected) in [
        ("TWILIO_AUTH_TOKEN", 0o644, true),
        ("TWILIO_AUTHTOKEN", 0o644, true),
        ("TWILIO_AUTH_TOKEN", 0o640, false),
        ("ONCEWARD_BRAND", 0o644, false),
    ] {
        let world = World::with_twilio().file(".env", &format!("{name}={TOKEN}\n")).mode(".env", mode);
        let warnings = world.warnings().join("\n");
        assert_eq!(warnings.contains(READABLE) && warnings.contains(".env"), expected, "{name} {mode:o}");
        assert!(!warnings.contains(TOKEN));
    }
}

#[test]
fn the_token_of_the_highest_source_counts_and_its_usual_name_first() {
    let in_a_file = || World::with_twilio().without("TWILIO_AUTH_TOKEN").file("token", TOKEN);
    for world in [
        World::with_twilio().variable("TWILIO_AUTHTOKEN", "hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTHTOKEN=hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTH_TOKEN_FILE=absent"),
        in_a_file().variable("TWILIO_AUTH_TOKEN_FILE", "token").file(".env", "TWILIO_AUTH_TOKEN=hunter2"),
        in_a_file().file(".env", "TWILIO_AUTHTOKEN_FILE=token"),
    ] {
        assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    }
}
