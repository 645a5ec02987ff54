//! Which keys and certificates are served, refused, or served with a warning.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_key_in_each_form_is_read() {
    let key = KeyPair::generate().expect("a key");
    is_good(&own(&key, 2020, 2090), &key.serialize_pem());
    // PKCS#8 is an envelope around SEC1, which begins with a version and 32 bytes: RFC 5915.
    let der = key.serialize_der();
    let version = der.windows(5).position(|part| part == [2, 1, 1, 4, 32]).expect("SEC1 inside");
    let sec1 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der[version - 2..]);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
    is_good(&own(&key, 2020, 2090), &pem);
    // One file may have both, and other things too.
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----";
    let both = format!("A certificate\n{}{parameters}\n{}", own(&key, 2020, 2090), key.serialize_pem());
    is_good(&both, &both);
}

#[track_caller]
fn is_good(chain: &str, key: &str) {
    assert_eq!(Files::new(chain, key).warnings_at(year(2026)), Vec::<String>::new());
}

#[test]
fn an_unusable_file_is_refused_with_its_setting_its_path_and_a_remedy() {
    let key = KeyPair::generate().expect("a key");
    let (chain, key) = (own(&key, 2020, 2090), key.serialize_pem());
    let damaged = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cut = &key[..key.len() / 2];
    for (chain, key, words) in [
        ("", key.as_str(), ["tls-cert", "no certificate in it"]),
        (damaged, &key, ["tls-cert", "damaged"]),
        (no_der, &key, ["tls-cert", "first certificate in it cannot be read"]),
        ("0\u{2}", &key, ["tls-cert", "no certificate"]),
        (&key, &key, ["tls-cert", "no certificate in it"]),
        (&chain, "", ["tls-key", "no private key in it"]),
        (&chain, &chain, ["tls-key", "no private key in it"]),
        (&chain, no_key, ["tls-key", "cannot be used"]),
        (&chain, locked, ["tls-key", "is encrypted"]),
        (&chain, older, ["tls-key", "is encrypted"]),
        (&chain, cut, ["tls-key", "damaged"]),
    ] {
        let files = Files::new(chain, key);
        let error = check(&files.at(), year(2026)).expect_err("useless files").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in {error}");
        assert!(error.contains(files.0.path().to_str().expect("a path")), "{error}");
        // The error shows no part of a key.
        assert!(key.len() < 100 || key.lines().skip(1).all(|line| !error.contains(line)), "{error}");
    }
}

#[test]
fn a_certificate_is_a_problem_near_and_after_its_end() {
    let key = KeyPair::generate().expect("a key");
    let files = Files::new(&own(&key, 2025, 2027), &key.serialize_pem());
    let end = year(2027);
    for (now, word) in [
        (year(2025), None),
        (end.minus(14 * DAY), None),
        (end.minus(14 * DAY).plus(Duration::from_secs(1)), Some("in 13 days")),
        (end, Some("in 0 days")),
        (end.plus(Duration::from_secs(1)), Some("expired at 2027-01-01T00:00:00Z")),
    ] {
        let warnings = files.warnings_at(now);
        assert_eq!(warnings.len(), usize::from(word.is_some()), "{warnings:?}");
        assert!(word.is_none_or(|word| warnings[0].contains(word)), "{warnings:?}");
    }
}

struct Files(TempDir);

impl Files {
    fn new(chain: &str, key: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        std::fs::write(files.at().certificate, chain).expect("a file");
        std::fs::write(files.at().key, key).expect("a file");
        files
    }

    fn at(&self) -> TlsFiles {
        TlsFiles { certificate: self.0.path().join("chain.pem"), key: self.0.path().join("key.pem") }
    }

    #[track_caller]
    fn warnings_at(&self, now: Timestamp) -> Vec<String> {
        check(&self.at(), now).expect("files that can be used")
    }
}

/// A self-signed certificate.
fn own(key: &KeyPair, from: i32, to: i32) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params.self_signed(key).expect("signed").pem()
}

/// The beginning of a year.
fn year(year: i32) -> Timestamp {
    let seconds = date_time_ymd(year, 1, 1).unix_timestamp();
    Timestamp::EPOCH.plus(Duration::from_secs(u64::try_from(seconds).expect("after 1970")))
}
