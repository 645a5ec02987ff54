//! Certificates and keys that the server can use, and those that it cannot.

use crate::support::{Authority, Finished, Setup};

const WRONG_SETTINGS: Option<i32> = Some(64);

#[tokio::test]
async fn half_of_the_settings_is_an_error_that_names_the_other_half() {
    for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
        let finished = Setup::bare().config(given, "file.pem").args(["--check"]).run().await;
        refused(&finished, &[given, missing, "missing", "config.json"]);
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_stops_the_start_and_the_check() {
    let setup = Authority::new().issue().configure(Setup::new());
    std::fs::write(setup.home().join("tls.key"), Authority::new().issue().key).expect("a file");
    for setup in [setup.clone(), setup.args(["--check"])] {
        refused(&setup.run().await, &["tls-key", "tls.crt"]);
        assert!(!setup.data_dir().exists());
    }
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status.code(), WRONG_SETTINGS, "{}", finished.output);
    for word in words {
        assert!(finished.output.contains(word), "{word:?} is not in\n{}", finished.output);
    }
}
