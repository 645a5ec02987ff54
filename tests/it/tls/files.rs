//! Certificates and keys that the server can use, and those that it cannot.

use crate::support::{Authority, Says, Setup};

#[tokio::test]
async fn half_of_the_settings_is_an_error_that_names_the_other_half() {
    for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
        let finished = Setup::bare().config(given, "file.pem").args(["--check"]).run().await;
        finished.exits(64).says([given, missing, "missing", "config.json"]);
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_stops_the_start_and_the_check() {
    let setup = Authority::new().issue().configure(Setup::new());
    std::fs::write(setup.home().join("tls.key"), Authority::new().issue().key).expect("a file");
    for setup in [setup.clone(), setup.args(["--check"])] {
        setup.run().await.exits(64).says(["tls-key", "tls.crt"]);
        assert!(!setup.data_dir().exists());
    }
}
