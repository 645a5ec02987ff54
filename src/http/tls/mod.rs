//! The server's own certificate: read at the start, read again on SIGHUP, watched until it expires.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::domain::Timestamp;

/// The names of the protocols in ALPN (RFC 7301), the preferred one first.
pub const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// A certificate that ends within this time should have been renewed: those that are renewed by a program are, a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Why the server cannot use the configured certificate or key: the setting, the file, the fault with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {}: {fault}", file.display())]
pub struct TlsError {
    setting: &'static str,
    file: PathBuf,
    fault: String,
}

/// The certificate that is served. New handshakes use the present identity; connections that are open keep theirs.
pub struct Tls {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    present: ArcSwap<Identity>,
}

/// The content of the two files, with the TLS settings around them.
struct Identity {
    config: Arc<ServerConfig>,
    /// When the certificate expires.
    ends: Timestamp,
}

impl Identity {
    /// What the operator must do about the end.
    fn problem(&self, now: Timestamp) -> Option<String> {
        let (ends, left) = (self.ends.rfc3339_seconds(), self.ends.since(now));
        if now > self.ends {
            Some(format!("certificate expired at {ends}, and clients refuse it; renew it and send SIGHUP"))
        } else if left < SOON {
            let days = left.as_secs() / (24 * 60 * 60);
            Some(format!("certificate expires soon, at {ends}, in {days} days; renew it and send SIGHUP"))
        } else {
            None
        }
    }
}

impl Tls {
    pub fn open(files: &TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let identity = read(files)?;
        Ok(Self { files: files.clone(), clock, present: ArcSwap::from_pointee(identity) })
    }

    /// Reads both files again and logs the result. New handshakes then use them; if the server cannot use them,
    /// everything stays unchanged. Waits for the disk.
    pub fn reload(&self) {
        match read(&self.files) {
            Ok(identity) => {
                self.present.store(Arc::new(identity));
                self.announce("certificate reloaded; new connections use it");
                self.warn_if_it_ends();
            }
            Err(error) => error!(%error, "certificate not reloaded, the previous one stays"),
        }
    }

    /// Says until when the certificate is served.
    pub fn announce(&self, message: &str) {
        info!(expires = %self.present.load().ends.rfc3339_seconds(), "{message}");
    }

    /// Warns of a certificate that expires soon or has expired.
    pub fn warn_if_it_ends(&self) {
        if let Some(problem) = self.present.load().problem(self.clock.wall()) {
            warn!(file = %self.files.certificate.display(), "{problem}");
        }
    }

    /// Takes the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.present.load().config).into()
    }
}

/// Serves with this chain, the server's own certificate first, and its private key: TLS 1.2 and 1.3, without
/// client certificates and without early data, which could be repeated by others.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<ServerConfig, rustls::Error> {
    let key = ring::sign::any_supported_type(key)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // Tickets carry what a session needs, so that resuming takes no memory here. Their keys are new for
    // each identity: after a change of the certificate no client resumes a session of the old one.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

/// Whether a server can show itself with these files, and what an operator should know of them.
pub fn check(files: &TlsFiles, now: Timestamp) -> Result<Vec<String>, TlsError> {
    let problem = read(files)?.problem(now);
    let in_file = |problem| format!("tls-cert {}: {problem}", absolute(&files.certificate).display());
    Ok(problem.map(in_file).into_iter().collect())
}

/// The full path, for a message.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read(files: &TlsFiles) -> Result<Identity, TlsError> {
    let of_chain = |fault| TlsError { setting: "tls-cert", file: absolute(&files.certificate), fault };
    let of_key = |fault| TlsError { setting: "tls-key", file: absolute(&files.key), fault };
    let chain = read_chain(&files.certificate).map_err(of_chain)?;
    let private_key = read_key(&files.key).map_err(of_key)?;
    let own = Certificate::from_der(&chain[0])
        .map_err(|error| of_chain(format!("the first certificate in it cannot be read ({error})")))?;
    let ends = own.tbs_certificate().validity().not_after.to_unix_duration();
    // rustls's text about a key names its parts and never shows them.
    let config = server_config(chain, &private_key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => of_key(
            "the private key in it does not belong to the first certificate of tls-cert, which must be the server's \
             own"
                .to_owned(),
        ),
        error => of_key(format!(
            "the private key in it cannot be used with the certificate ({error}); use ECDSA (P-256 or P-384), RSA \
             (2048 bits or more) or Ed25519"
        )),
    })?;
    Ok(Identity { config: Arc::new(config), ends: Timestamp::EPOCH.plus(ends) })
}

// The parser's error quotes the file, which may be a key.
const DAMAGED: &str =
    "it is damaged: a part of it begins like PEM and does not go on so; write the file again";

/// The certificates of a PEM file (RFC 7468), in its order; at least one.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| DAMAGED)?;
    if certificates.is_empty() {
        return Err("there is no certificate in it; name the PEM file with the chain".to_owned());
    }
    Ok(certificates)
}

/// The private key of a file. Wiped when dropped.
fn read_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, String> {
    let text = read_file(path)?;
    let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(|error| {
        let fault = match error {
            _ if is_encrypted => {
                "the private key is encrypted; remove its password with: openssl pkey -in FILE -out NEW.pem"
            }
            PemError::NoItemsFound => "there is no private key in it; name the PEM file with the key",
            _ => DAMAGED,
        };
        fault.to_owned()
    })
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let wrong = |error| format!("{error}; name a file that the user that runs onceward can read");
    fs::read(path).map(Zeroizing::new).map_err(wrong)
}
