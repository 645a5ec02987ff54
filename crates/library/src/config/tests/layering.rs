//! The precedence of sources.

use super::*;

#[test]
fn relative_paths_begin_in_the_working_directory() {
    let world = World::with_config(r#"{"data-dir": "store", "key-file": "keys/server"}"#);
    assert_eq!(world.settings().storage.data_dir, world.path("store"));
    assert_eq!(world.settings().storage.server_key_file, Some(world.path("keys/server")));
    let world = World::empty().variable("ONCEWARD_KEY_FILE", "/run/keys/server");
    assert_eq!(world.settings().storage.server_key_file, Some(PathBuf::from("/run/keys/server")));
}

#[test]
fn every_source_beats_those_below_it_and_a_value_says_where_it_came_from() {
    let mut world = World::empty();
    let shows = |world: &World, value: &str, origin: &str| {
        assert_eq!(world.shows("log-level"), (format!("{value:?}"), origin.to_owned()));
    };
    shows(&world, "info", "the default");
    world = world.file("config.json", r#"{"log-level": "error"}"#);
    let file = world.path("config.json").display().to_string();
    shows(&world, "error", &format!("{file}, key \"log-level\""));
    world = world.file(".env", "ONCEWARD_LOG_LEVEL=warn");
    shows(&world, "warn", ".env, ONCEWARD_LOG_LEVEL");
    world = world.variable("ONCEWARD_LOG_LEVEL", "debug");
    shows(&world, "debug", "the environment, ONCEWARD_LOG_LEVEL");
    world = world.flag("log-level", "trace");
    shows(&world, "trace", "the command line, --log-level");
}

#[test]
fn a_variable_of_the_process_hides_one_of_the_file_even_when_it_is_empty() {
    let world = World::empty().file(".env", "ONCEWARD_OTP_LENGTH=8").variable("ONCEWARD_OTP_LENGTH", "");
    assert_eq!(world.settings().policy.code.length.get(), 6);
    let world = world.file("config.json", r#"{"otp-length": 9}"#);
    assert_eq!(world.settings().policy.code.length.get(), 9, "an empty one counts as not given");
}
