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
async fn files_that_cannot_be_used_stop_the_start_and_say_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new().issue());
    let good = authority.issue();
    let in_wrong_order = authority.pem.clone() + &good.pem;
    let two_keys = good.key.clone() + &other.key;
    for (chain, key, words) in [
        (None, Some(&good.key), &["tls-cert", "tls.crt", "No such file", "name a file that exists"][..]),
        (Some(&good.pem), None, &["tls-key", "tls.key", "No such file"]),
        (Some(&String::new()), Some(&good.key), &["tls-cert", "no certificate in it"]),
        (Some(&good.key), Some(&good.pem), &["tls-cert", "mixed up"]),
        (Some(&good.pem), Some(&other.key), &["tls-key", "does not belong to the certificate", "tls.crt"]),
        (Some(&good.pem), Some(&two_keys), &["tls-key", "2 private keys", "keep only the one"]),
        (Some(&in_wrong_order), Some(&good.key), &["tls-cert", "certificate 2", "must be the first"]),
    ] {
        let setup = good.configure(Setup::new());
        for (name, text) in [("tls.crt", chain), ("tls.key", key)] {
            let path = setup.home().join(name);
            match text {
                Some(text) => std::fs::write(path, text).expect("a file"),
                None => std::fs::remove_file(path).expect("it was there"),
            }
        }
        for setup in [setup.clone(), setup.args(["--check"])] {
            let finished = setup.run().await;
            refused(&finished, words);
            assert!(!finished.output.contains("BEGIN PRIVATE KEY-----\n"), "{}", finished.output);
            assert!(!setup.data_dir().exists());
        }
    }
}

#[tokio::test]
async fn a_key_that_all_users_may_read_is_a_warning() {
    let setup = Authority::new().issue().configure(Setup::new());
    let path = setup.home().join("tls.key");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("its mode");
    let finished = setup.args(["--check"]).run().await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert!(
        finished.output.contains("tls-key") && finished.output.contains("chmod o="),
        "{}",
        finished.output
    );
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status.code(), WRONG_SETTINGS, "{}", finished.output);
    for word in words {
        assert!(finished.output.contains(word), "{word:?} is not in\n{}", finished.output);
    }
}
