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
    let other_spelling = world.without("TWILIO_AUTH_TOKEN_FILE").file(".env", "TWILIO_AUTHTOKEN_FILE=token");
    assert_eq!(other_spelling.twilio().account.auth_token.expose_secret(), TOKEN);
}

#[test]
fn a_file_with_a_secret_that_others_can_read_is_a_warning() {
    let account = World::with_twilio().variable("ONCEWARD_ACCOUNT_SID", ACCOUNT);
    for (variable, world) in [("TWILIO_AUTH_TOKEN", World::with_twilio()), ("ONCEWARD_AUTH_TOKEN", account)] {
        let by_file = format!("{variable}_FILE");
        let mut world = world.without(variable).file("secret", TOKEN).variable(&by_file, "secret");
        for (mode, expected) in [(0o644, true), (0o444, true), (0o640, false), (0o600, false)] {
            world = world.mode("secret", mode);
            let warnings = world.warnings().join("\n");
            assert_eq!(
                warnings.contains(READABLE) && warnings.contains(&by_file),
                expected,
                "{mode:o}: {warnings}"
            );
            assert!(!warnings.contains(TOKEN));
        }
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
fn a_process_variable_hides_the_other_form_of_the_secret_in_the_env_file() {
    let world = World::with_twilio().file(".env", "TWILIO_AUTH_TOKEN_FILE=absent");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    let world = World::with_twilio()
        .without("TWILIO_AUTH_TOKEN")
        .file("token", TOKEN)
        .variable("TWILIO_AUTH_TOKEN_FILE", "token")
        .file(".env", "TWILIO_AUTH_TOKEN=hunter2");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
}

#[test]
fn the_usual_name_of_the_token_wins_in_one_source_and_the_higher_source_in_all() {
    let world = World::with_twilio().variable("TWILIO_AUTHTOKEN", "hunter2");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    let layered = World::with_twilio().file(".env", "TWILIO_AUTHTOKEN=hunter2");
    assert_eq!(layered.twilio().account.auth_token.expose_secret(), TOKEN);
}

#[test]
fn nothing_that_is_printed_holds_a_secret_or_a_whole_number() {
    let world = World::with_twilio()
        .variable("REDIS_DB_PASSWORD", "hunter2")
        .file("config.json", r#"{"REDIS_DB_PASSWORD": "hunter3"}"#);
    let printed = format!("{:?}", world.loads());
    let effective = format!("{:?}", world.loads().effective);
    for secret in [TOKEN, "hunter2", "hunter3"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    for personal in ["4155552671", ACCOUNT] {
        assert!(!effective.contains(personal), "{effective}");
    }
    assert_eq!(world.shows("TWILIO_PHONE_NUMBER").0, "\"+1415*****71\"");
    assert_eq!(world.shows("TWILIO_ACCOUNT_SID").0, "\"AC0123...cdef\"");
}
