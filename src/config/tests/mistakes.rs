//! The errors of a wrong configuration.

use super::*;
use crate::config::schema::Names;

#[test]
fn all_wrong_values_are_reported_at_once_with_origin_and_accepted_values() {
    let world = World::with_config(r#"{"otp-length": "3", "otp-max-attempts": 101, "production": "maybe"}"#)
        .file(".env", "ONCEWARD_OTP_TIMEOUT=soon")
        .variable("ONCEWARD_OTP_LOCK_TIMEOUT", "0")
        .flags(Overrides { log_level: Some("loud".to_owned()), ..Overrides::default() });
    let errors = world.errors();
    assert_eq!(errors.len(), 6, "{errors:#?}");
    let all = errors.join("\n");
    says(&all, &["otp-length = \"3\"", "from 4 to 10", "config.json, key \"otp-length\""]);
    says(&all, &["otp-max-attempts = 101", "from 1 to 100"]);
    says(&all, &["production = \"maybe\"", "true or false"]);
    says(&all, &["otp-timeout = \"soon\"", "1s to 1day", "seconds", "\"5m\"", ".env, ONCEWARD_OTP_TIMEOUT"]);
    says(&all, &["otp-lock-timeout = \"0\"", "minutes", "the environment, ONCEWARD_OTP_LOCK_TIMEOUT"]);
    says(&all, &["log-level = \"loud\"", "\"error\", \"warn\", \"info\"", "the command line, --log-level"]);
}

#[test]
fn a_lockout_that_allows_too_many_guesses_stops_the_start() {
    // The codes of /send-code always have six digits.
    for length in [4, 6, 10] {
        let text = format!("{{\"otp-length\": {length}, \"otp-lock-timeout\": \"1s\"}}");
        let error = World::with_config(&text).error();
        says(&error, &["otp-lock-timeout = ", "1s", "432000 guesses a day", "config.json"]);
    }
    World::with_config(r#"{"otp-lock-timeout": "5s"}"#).settings();
}

#[test]
fn a_budget_of_money_without_own_prices_is_a_warning() {
    for config in [
        r#"{"guard": {"money-per-day": "20.00"}}"#,
        r#"{"services": {"shop": {"guard": {"money-per-day": "20.00"}}}}"#,
    ] {
        let warnings = World::with_config(config).warnings();
        says(&warnings.join("\n"), &["money-per-day counts the built-in prices", "Set prices"]);
    }
    let priced = r#"{"guard": {"money-per-day": "20.00"}, "prices": {"*": {"sms": 0.1}}}"#;
    assert!(World::with_config(priced).warnings().is_empty());
}

#[test]
fn a_lockout_of_more_than_a_day_is_a_warning_in_hours() {
    let warnings = World::with_config(r#"{"otp-lock-timeout": 3600}"#).warnings();
    says(&warnings.join("\n"), &["otp-lock-timeout locks a number for 60 h after 5 wrong codes", "minutes"]);
    assert!(World::with_config(r#"{"otp-lock-timeout": 1440}"#).warnings().is_empty());
}

#[test]
fn the_entry_of_prices_that_is_wrong_is_named() {
    let error = World::with_config(r#"{"prices": {"US": {"sms": 0.01}, "DE": {"sms": "8 ct"}}}"#).error();
    says(&error, &["prices.DE.sms = \"8 ct\": it must be a number below", "config.json, key \"prices\""]);
    assert!(!error.contains("prices.US"), "{error}");
}

#[test]
fn a_country_without_channels_is_named() {
    let error = World::with_config(r#"{"prices": {"FR": 3}}"#).error();
    says(&error, &["prices.FR = 3: it must be an object such as {\"sms\": 0.08}"]);
}

#[test]
fn every_member_that_is_missing_is_reported() {
    let errors = World::with_config(r#"{"cluster": {"node": "a"}}"#).errors();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    says(&errors.concat(), &["cluster.etcd: it is missing", "cluster.advertise: it is missing"]);
}

#[test]
fn a_dot_leads_into_an_object_at_every_depth() {
    let world = World::with_config(r#"{"services": {"shop": {"guard.mode": "off", "guard.unproven": 7}}}"#);
    let guard = world.settings().registry.services[0].guard.clone();
    assert_eq!((guard.mode, guard.unproven), (Some(onceward_core::guard::Mode::Off), Some(7)));
    let warnings = World::with_config(r#"{"breaker.failures": 3}"#).warnings().concat();
    says(&warnings, &["\"breaker.failures\" is unknown", "did you mean \"breaker-failures\"?"]);
    let warnings = World::with_config(r#"{"breaker": {"failures": 3}}"#).warnings().concat();
    says(&warnings, &["\"breaker\" is unknown", "did you mean \"breaker-failures\"?"]);
}

#[test]
fn a_wrong_value_of_any_key_is_reported_under_its_name() {
    let names = Names::known();
    let objects = ["sms", "authentication", "otp-max-trials"];
    for key in names.keys.keys().map(String::as_str).chain(objects) {
        if ACCEPT_ANYTHING.contains(&key) {
            continue;
        }
        let errors = World::with_config(&format!("{{{key:?}: [1]}}")).errors();
        assert!(errors.iter().any(|error| error.starts_with(subject(key))), "{key}: {errors:?}");
        assert!(errors.iter().any(|error| error.contains(&format!("key {key:?}"))), "{key}: {errors:?}");
    }
}

#[test]
fn nothing_is_wrong_with_a_key_that_is_ignored() {
    let world = World::with_config(r#"{"$schema": [1], "redis-db-address": null, "REDIS_DB_PASSWORD": {}}"#);
    says(&world.warnings().concat(), &["REDIS_DB_PASSWORD, redis-db-address ignored"]);
}

/// Ignored keys, which cannot have wrong values.
const ACCEPT_ANYTHING: [&str; 3] = ["$schema", "redis-db-address", "REDIS_DB_PASSWORD"];

fn subject(key: &str) -> &str {
    if key == "otp-max-trials" { "otp-max-attempts" } else { key }
}

#[test]
fn null_lists_and_objects_are_no_values() {
    for (value, shown) in
        [("null", "null"), ("[30]", "a list"), ("{\"s\": 30}", "an object"), ("true", "true")]
    {
        let error = World::with_config(&format!("{{\"otp-timeout\": {value}}}")).error();
        says(&error, &[&format!("otp-timeout = {shown}:")]);
    }
}

#[test]
fn a_fraction_is_no_whole_number() {
    says(&World::with_config(r#"{"otp-timeout": 1.5}"#).error(), &["otp-timeout = 1.5"]);
    assert_eq!(World::with_config(r#"{"otp-timeout": 30.0}"#).settings().policy.code.life.as_secs(), 30);
}

#[test]
fn two_spellings_that_differ_are_an_error() {
    let error = World::with_config(r#"{"otp-max-attempts": 5, "otp-max-trials": "6"}"#).error();
    says(&error, &["otp-max-attempts and otp-max-trials = 5 and \"6\"", "Remove one"]);
}

#[test]
fn unknown_names_get_a_warning_with_the_nearest_known_one() {
    let world = World::with_config(r#"{"otp_timeout": 5, "colour": "red", "$schema": "x"}"#)
        .file(".env", "ONCEWARD_OTP_LENGHT=9")
        .variable("ONCEWARD_LOGLEVEL", "debug")
        .variable("ONCEWARD_X", "1")
        .variable("PATH", "/bin");
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    let all = warnings.join("\n");
    says(&all, &["key \"otp_timeout\" is unknown and ignored; did you mean \"otp-timeout\"?"]);
    says(&all, &["key \"colour\" is unknown and ignored\n"]);
    says(&all, &[".env, ONCEWARD_OTP_LENGHT", "did you mean \"ONCEWARD_OTP_LENGTH\"?"]);
    assert!(all.ends_with("the environment, ONCEWARD_X is unknown and ignored"), "{all}");
    says(&all, &["the environment, ONCEWARD_LOGLEVEL", "did you mean \"ONCEWARD_LOG_LEVEL\"?"]);
}

#[test]
fn floors_of_an_older_guard_get_a_warning() {
    let world = World::with_config(
        r#"{"guard": {"prefix": 7, "unproven": 9}, "services": {"shop": {"guard": {"country": 3}}}}"#,
    );
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    says(
        &warnings[0],
        &["\"guard.prefix\" is unknown and ignored; the floors of the guard became constants"],
    );
}

#[test]
fn an_empty_key_is_unknown_and_stops_nothing() {
    let warnings = World::with_config(r#"{"": 1}"#).warnings();
    assert_eq!(warnings.len(), 1);
    says(&warnings[0], &["config.json, key \"\" is unknown and ignored"]);
}

#[test]
fn errors_come_with_the_warnings_that_may_explain_them() {
    let world = World::with_config(r#"{"allow-unauthentificated": true, "test-port": 70000}"#);
    let errors = world.load().expect_err("an error");
    says(&errors.warnings().concat(), &["did you mean \"allow-unauthenticated\"?"]);
}

#[test]
fn a_key_that_is_given_twice_gets_a_warning_and_the_last_one_counts() {
    let world = World::with_config(r#"{"otp-length": 7, "otp-length": 8}"#);
    assert_eq!(world.settings().policy.code.length.get(), 8);
    says(&world.warnings().concat(), &["key \"otp-length\" is given twice"]);
}

#[test]
fn a_known_key_at_another_level_is_found() {
    let world = World::with_config(
        r#"{"messages-per-hour": 5, "code-length": 6, "sms": {"otp-length": 6}, "guard": {"public-url": "x"}}"#,
    )
    .variable("ONCEWARD_MESSAGES_PER_DAY", "7");
    let warnings = world.warnings().join("\n");
    for (unknown, known) in [
        ("messages-per-hour", "guard.messages-per-hour"),
        ("code-length", "services.NAME.code-length"),
        ("sms.otp-length", "otp-length"),
        ("guard.public-url", "public-url"),
    ] {
        says(&warnings, &[&format!("{unknown:?} is unknown and ignored; did you mean {known:?}?")]);
    }
    says(&warnings, &["ONCEWARD_MESSAGES_PER_DAY", "did you mean \"ONCEWARD_GUARD_MESSAGES_PER_DAY\"?"]);
    let warnings = World::empty().variable("ONCEWARD_SERVICES_SHOP_CODE_LENGTH", "6").warnings().concat();
    says(
        &warnings,
        &["ONCEWARD_SERVICES_SHOP_CODE_LENGTH is unknown", "did you mean \"ONCEWARD_SERVICES\"?"],
    );
}

#[test]
fn a_file_that_is_not_json_is_reported_with_line_and_column() {
    let error = World::with_config("{\n  \"otp-length\": 6\n  \"brand\": \"x\"\n}").error();
    says(&error, &["config.json", "not valid JSON", "line 3 column 3"]);
    says(&World::with_config("").error(), &["not valid JSON", "line 1 column 0"]);
    says(&World::with_config("{} {}").error(), &["not valid JSON", "line 1 column 4"]);
}

#[test]
fn a_file_that_is_no_object_is_refused() {
    for text in ["[]", "\"x\"", "3", "null"] {
        says(&World::with_config(text).error(), &["config.json", "must be one JSON object", "line 1 column"]);
    }
}

#[test]
fn a_file_that_was_named_must_exist() {
    let mut world = World::empty();
    world.sources.config_file = Some(PathBuf::from("absent.json"));
    says(&world.error(), &["absent.json", "no such file", "--config"]);
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_text_is_an_error() {
    let world = World::empty();
    std::fs::create_dir(world.path("config.json")).expect("a directory");
    says(&world.error(), &["config.json", "cannot be read"]);
    let world = World::empty();
    std::fs::write(world.path("config.json"), b"{\"brand\": \"\xff\"}").expect("a file");
    says(&world.error(), &["config.json", "not UTF-8"]);
    let world = World::with_config(&" ".repeat(1_048_577));
    says(&world.error(), &["config.json", "larger than 1048576 bytes"]);
}

#[test]
fn a_byte_order_mark_is_no_trouble() {
    let world = World::with_config("\u{feff}{\"otp-length\": 8}").file(".env", "\u{feff}ONCEWARD_BRAND=Acme");
    assert_eq!(world.settings().policy.code.length.get(), 8);
    assert_eq!(world.settings().brand, "Acme");
}

#[test]
fn a_bad_line_of_the_env_file_stops_the_start_by_its_number() {
    let world = World::empty().file(".env", &format!("A=1\nONCEWARD_BRAND='{TOKEN}\n"));
    let error = world.error();
    says(&error, &["ONCEWARD_BRAND", "begins with '", ".env, line 2"]);
    assert!(!error.contains(TOKEN));
}

#[test]
fn lines_of_other_programs_stop_nothing() {
    let world = World::empty().file(
        ".env",
        "NODE_OPTIONS=--a --b\nGREETING=Joe's\nREDIS_DB_PASSWORD=\"p@ss$x\"\nKEY=\"-----BEGIN\n-----END\"\nPORT=0\n",
    );
    assert_eq!(world.settings().listen.port, 0);
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    says(&warnings.join("\n"), &["line 4: KEY is ignored", "line 5: ignored", "REDIS_DB_PASSWORD ignored"]);
}

#[test]
fn messages_are_checked_with_the_brand_in_them() {
    let world = World::with_config(r#"{"otp-message": "hello", "tutorial-message": "{code} {nmae}"}"#);
    let errors = world.errors().join("\n");
    says(&errors, &["otp-message = \"hello\": it must contain {code}"]);
    says(&errors, &["tutorial-message = \"{code} {nmae}\"", "{nmae}", "{brand}"]);
    let long = format!("{{brand}}{}{{code}}", "x".repeat(1_580));
    let world = World::with_config(&format!("{{\"otp-message\": {long:?}, \"brand\": \"elevenchars\"}}"));
    says(&world.error(), &["otp-message", "1601 characters", "1600"]);
    assert!(world.error().len() < 500, "it repeats the whole message");
}

#[test]
fn a_service_name_unfit_as_a_brand_is_an_error_only_without_a_brand() {
    let world = World::with_config(r#"{"service_name": "a\nb"}"#);
    says(&world.error(), &["service_name = \"a\\nb\"", "brand"]);
    let world = World::with_config(r#"{"service_name": "a\nb", "brand": "Acme"}"#);
    assert_eq!(world.settings().brand, "Acme");
}

#[test]
fn what_is_weak_but_possible_gets_a_warning() {
    let world = World::with_config(r#"{"otp-length": 4, "otp-timeout": "11m", "graceful-stop": 1}"#);
    let warnings = world.warnings().join("\n");
    says(&warnings, &["otp-length", "otp-timeout", "NIST", "graceful-stop"]);
}

#[test]
fn a_guard_that_would_refuse_all_or_know_no_address_stops_the_start() {
    for (text, parts) in [
        (r#"{"guard": {"allowed-countries": []}}"#, ["guard.allowed-countries", "at least one country"]),
        (
            r#"{"guard": {"allowed-countries": ["DE", "XX"]}}"#,
            ["guard.allowed-countries", "\"XX\" is not accepted"],
        ),
        (
            r#"{"guard": {"messages-per-day": "18446744073709551615"}}"#,
            ["guard.messages-per-day", "from 1 to 1000000000"],
        ),
        (
            r#"{"services": {"shop": {"guard": {"allowed-countries": []}}}}"#,
            ["services.shop.guard.allowed-countries", "without the key, every country"],
        ),
        (
            r#"{"client-address-header": "X-Forwarded-For"}"#,
            ["client-address-header = \"X-Forwarded-For\"", "trusted-proxies"],
        ),
        (
            r#"{"client-address-header": "X-Forwarded-For", "trusted-proxies": []}"#,
            ["client-address-header", "trusted-proxies"],
        ),
    ] {
        says(&World::with_config(text).error(), &parts);
    }
    World::with_config(r#"{"guard": {"blocked-countries": []}}"#).settings();
    World::with_config(r#"{"client-address-header": "X-Forwarded-For", "trusted-proxies": "10.0.0.1"}"#)
        .settings();
}
