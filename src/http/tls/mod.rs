//! The server's own certificate: read at the start, read again on SIGHUP.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use serde::Serialize;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{TlsFiles, is_readable_by_others};
use crate::domain::Timestamp;

/// The names of the protocols in ALPN (RFC 7301), the preferred one first.
pub const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

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
    about: About,
    /// Warnings apart from those about dates, one sentence each.
    warnings: Vec<String>,
}

impl Tls {
    /// Reads both files, and logs warnings.
    pub fn open(files: &TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let identity = read(files, OWN)?;
        log_warnings(&identity.warnings);
        Ok(Self { files: files.clone(), clock, present: ArcSwap::from_pointee(identity) })
    }

    /// Reads both files again and logs the result. New handshakes then use them; if the server cannot use them,
    /// everything stays unchanged. Waits for the disk.
    pub fn reload(&self) {
        match read(&self.files, OWN) {
            Ok(identity) => {
                log_warnings(&identity.warnings);
                self.present.store(Arc::new(identity));
                self.announce("certificate reloaded; new connections use it");
            }
            Err(error) => error!(%error, "certificate not reloaded, the previous one stays"),
        }
    }

    pub fn certificate(&self) -> CertificateHealth {
        self.present.load().about.health(self.clock.wall())
    }

    /// Says which certificate is served. Warns of one that expires soon or has expired; later `/readyz` does.
    pub fn announce(&self, message: &str) {
        let (names, CertificateHealth { expires, problem }) =
            (self.present.load().about.names(), self.certificate());
        info!(names, expires, "{message}");
        if let Some(problem) = problem {
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

fn log_warnings(warnings: &[String]) {
    for warning in warnings {
        warn!(detail = %warning, "certificate warning");
    }
}

/// Whether a server can show itself with these files, and what an operator should know of them.
pub fn check(files: &TlsFiles, now: Timestamp) -> Result<Vec<String>, TlsError> {
    let Identity { about, mut warnings, .. } = read(files, OWN)?;
    let problem = about.health(now).problem;
    warnings.extend(problem.map(|problem| in_file("tls-cert", &files.certificate, problem)));
    Ok(warnings)
}

fn in_file(setting: &str, path: &Path, problem: impl Display) -> String {
    format!("{setting} {}: {problem}", absolute(path).display())
}

/// The full path, for a message.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Checks the files with which this program shows itself to another one, which the settings `certificate` and `key`
/// name.
pub fn check_client(files: &TlsFiles, certificate: &'static str, key: &'static str) -> Result<(), TlsError> {
    read(files, [certificate, key]).map(drop)
}

/// Checks the file of the authorities that `setting` names.
pub fn check_authorities(setting: &'static str, file: &Path) -> Result<(), TlsError> {
    let file = absolute(file);
    let wrong = |fault| TlsError { setting, file: file.clone(), fault };
    let authorities = read_chain(&file).map_err(wrong)?;
    let (_, unusable) = RootCertStore::empty().add_parsable_certificates(authorities);
    if unusable > 0 {
        let fault = format!(
            "{unusable} certificates in it cannot be those of authorities; name the file of the authorities"
        );
        return Err(wrong(fault));
    }
    Ok(())
}

/// The settings of the server's own files.
const OWN: [&str; 2] = ["tls-cert", "tls-key"];

fn read(files: &TlsFiles, [certificate, key]: [&'static str; 2]) -> Result<Identity, TlsError> {
    let files = TlsFiles { certificate: absolute(&files.certificate), key: absolute(&files.key) };
    let of_chain = |fault| TlsError { setting: certificate, file: files.certificate.clone(), fault };
    let of_key = |fault| TlsError { setting: key, file: files.key.clone(), fault };
    let chain = read_chain(&files.certificate).map_err(of_chain)?;
    let private_key = read_key(&files.key).map_err(of_key)?;
    let about = about(&chain).map_err(of_chain)?;
    let config = server_config(chain, &private_key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => of_key(format!(
            "the private key in it does not belong to the first certificate of {}; name the two that were made together, \
             and put the server's own certificate first, then the one that signed it, and so on",
            files.certificate.display()
        )),
        // rustls's text about a key names its parts and never shows them.
        error @ rustls::Error::General(_) => of_key(format!(
            "the private key in it cannot be used ({error}); use ECDSA (P-256 or P-384), RSA (2048 bits or more) or \
             Ed25519"
        )),
        error => of_chain(format!(
            "the server cannot show itself with it ({error}); have a certificate of X.509 version 3 made"
        )),
    })?;
    let mut warnings: Vec<String> = Vec::new();
    warnings.extend(about.oddity().map(|problem| in_file(certificate, &files.certificate, problem)));
    if is_readable_by_others(&files.key) {
        let problem =
            format!("other users of this machine can read the key; run: chmod o= {}", files.key.display());
        warnings.push(in_file(key, &files.key, problem));
    }
    Ok(Identity { config: Arc::new(config), about, warnings })
}

// Reads PEM files (RFC 7468), and a certificate's names and dates.

/// A certificate that ends within this time should have been renewed: those that are renewed by a program are, a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

// The parser's error quotes the file, which may be a key.
const DAMAGED: &str =
    "it is damaged: a part of it begins like PEM and does not go on so; write the file again";

/// The health of the certificate, as `/readyz` shows it. The names of the fields are part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateHealth {
    /// The moment at which it expires, such as `2027-01-31T12:00:00Z`.
    pub expires: String,
    /// Faults that an operator must repair. The server stays ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The certificates of a file, in its order; at least one.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| DAMAGED)?;
    if certificates.is_empty() {
        return Err("there is no certificate in it; name the PEM file with the chain, which has lines such as -----BEGIN \
                    CERTIFICATE-----, and convert DER with: openssl x509 -inform der -in FILE -out NEW.pem"
            .to_owned());
    }
    Ok(certificates)
}

/// The private key of a file. Wiped when dropped.
pub fn read_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, String> {
    let text = read_file(path)?;
    let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(|error| {
        let fault = match error {
            _ if is_encrypted => {
                "the private key is encrypted; remove its password with: openssl pkey -in FILE -out NEW.pem"
            }
            PemError::NoItemsFound => {
                "there is no private key in it; name the PEM file with the key, which has a line such as -----BEGIN \
                 PRIVATE KEY-----"
            }
            _ => DAMAGED,
        };
        fault.to_owned()
    })
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    // Checked first, because opening a pipe would block.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("it is not a file; name the PEM file itself".to_owned());
    }
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|error| {
        format!(
            "{error}; name a file that exists (a relative path begins in the working directory), and let the user that \
             runs onceward read it"
        )
    })
}

/// The server's own certificate, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

impl About {
    /// The hosts it is for.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// When it expires, and what the operator must do: it has expired, will soon, or is not valid yet.
    pub fn health(&self, now: Timestamp) -> CertificateHealth {
        let (begins, ends) = (self.begins.rfc3339_seconds(), self.ends.rfc3339_seconds());
        let left = self.ends.since(now);
        let problem = if now > self.ends {
            Some(format!("certificate expired at {ends}, and clients refuse it; renew it and send SIGHUP"))
        } else if now < self.begins {
            Some(format!(
                "certificate not valid before {begins}, and clients refuse it until then; check the clock"
            ))
        } else if left < SOON {
            let days = left.as_secs() / (24 * 60 * 60);
            Some(format!("certificate expires soon, at {ends}, in {days} days; renew it and send SIGHUP"))
        } else {
            None
        };
        CertificateHealth { expires: ends.to_string(), problem }
    }

    /// A property that clients may refuse, whatever the date.
    pub fn oddity(&self) -> Option<&'static str> {
        let oddity = "the certificate names no host (subjectAltName), so clients refuse it; have one made for the names \
                      that they use";
        self.names.is_empty().then_some(oddity)
    }
}

/// The fields of the first certificate. All must be readable.
pub fn about(chain: &[CertificateDer<'_>]) -> Result<About, String> {
    let parsed = chain.iter().zip(1..).map(|(der, at)| {
        Certificate::from_der(der)
            .map_err(|error| format!("certificate {at} in it cannot be read ({error}); write the file again"))
    });
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    let own = parsed.first().ok_or("there is no certificate in it")?.tbs_certificate();
    let extension = own.get_extension::<SubjectAltName>().ok().flatten();
    let names = extension.iter().flat_map(|(_, names)| &names.0).filter_map(name).collect();
    let validity = own.validity();
    Ok(About { names, begins: moment(validity.not_before), ends: moment(validity.not_after) })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            <[u8; 4]>::try_from(bytes)
                .map(|bytes| Ipv4Addr::from(bytes).to_string())
                .or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string()))
                .ok()
        }
        _ => None,
    }
}

fn moment(time: Time) -> Timestamp {
    Timestamp::EPOCH.plus(time.to_unix_duration())
}
