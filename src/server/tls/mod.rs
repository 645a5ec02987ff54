//! The server's own certificate: read at the start, read again on SIGHUP, watched until it expires.

mod certificate;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{TlsFiles, is_readable_by_others};
use crate::http::{CertificateHealth, Identity, Tls};
use certificate::About;

/// Why the server cannot use the configured certificate or key: the setting, the file, the fault with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {}: {fault}", file.display())]
pub struct TlsError {
    setting: &'static str,
    file: PathBuf,
    fault: String,
}

/// The certificate that is served, and where it came from.
pub struct Certificates {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    about: Arc<ArcSwap<About>>,
    tls: Arc<Tls>,
}

/// The content of the two files.
struct Read {
    identity: Identity,
    about: About,
    /// Warnings apart from those about dates, one sentence each.
    warnings: Vec<String>,
}

impl Certificates {
    /// Reads both files, and logs warnings.
    pub fn open(files: &TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let Read { identity, about, warnings } = read(files)?;
        log_warnings(&warnings);
        let about = Arc::new(ArcSwap::from_pointee(about));
        let (shown, its_clock) = (Arc::clone(&about), Arc::clone(&clock));
        let tls = Arc::new(Tls::new(identity, move || {
            let about = shown.load();
            CertificateHealth {
                expires: about.expires().to_string(),
                problem: about.problem(its_clock.wall()),
            }
        }));
        Ok(Self { files: files.clone(), clock, about, tls })
    }

    /// The TLS configuration of connections.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Reads both files again and logs the result. New handshakes then use them; if the server cannot use them,
    /// everything stays unchanged. Waits for the disk.
    pub fn reload(&self) {
        match read(&self.files) {
            Ok(Read { identity, about, warnings }) => {
                log_warnings(&warnings);
                self.tls.change(identity);
                self.about.store(Arc::new(about));
                self.announce("certificate reloaded; new connections use it");
                self.warn_if_it_ends();
            }
            Err(error) => error!(%error, "certificate not reloaded, the previous one stays"),
        }
    }

    /// Says which certificate is served.
    pub fn announce(&self, message: &str) {
        let about = self.about.load();
        info!(names = about.names(), expires = %about.expires(), "{message}");
    }

    /// Warns of a certificate that expires soon or has expired.
    pub fn warn_if_it_ends(&self) {
        if let Some(problem) = self.about.load().problem(self.clock.wall()) {
            warn!(file = %self.files.certificate.display(), "{problem}");
        }
    }
}

fn log_warnings(warnings: &[String]) {
    for warning in warnings {
        warn!(detail = %warning, "certificate warning");
    }
}

/// Whether a server can show itself with these files: when the certificate expires, and what an operator should know
/// of them.
pub fn check(files: &TlsFiles, clock: &dyn Clock) -> Result<(String, Vec<String>), TlsError> {
    let Read { about, mut warnings, .. } = read(files)?;
    warnings
        .extend(about.problem(clock.wall()).map(|problem| in_file("tls-cert", &files.certificate, problem)));
    Ok((about.expires().to_string(), warnings))
}

fn in_file(setting: &str, path: &Path, problem: impl Display) -> String {
    format!("{setting} {}: {problem}", in_full(path).display())
}

/// The full path, for a message.
fn in_full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Checks the files with which this program shows itself to another one, which the settings `certificate` and `key`
/// name.
pub fn check_client(files: &TlsFiles, certificate: &'static str, key: &'static str) -> Result<(), TlsError> {
    read_named(files, certificate, key).map(drop)
}

/// Checks the file of the authorities that `setting` names.
pub fn check_authorities(setting: &'static str, file: &Path) -> Result<(), TlsError> {
    let file = in_full(file);
    let wrong = |fault| TlsError { setting, file: file.clone(), fault };
    let authorities = certificate::chain(&file).map_err(wrong)?;
    let (_, unusable) = RootCertStore::empty().add_parsable_certificates(authorities);
    if unusable > 0 {
        let fault = format!(
            "{unusable} certificates in it cannot be those of authorities; name the file of the authorities"
        );
        return Err(wrong(fault));
    }
    Ok(())
}

fn read(files: &TlsFiles) -> Result<Read, TlsError> {
    read_named(files, "tls-cert", "tls-key")
}

fn read_named(
    files: &TlsFiles,
    certificate_setting: &'static str,
    key_setting: &'static str,
) -> Result<Read, TlsError> {
    let files = TlsFiles { certificate: in_full(&files.certificate), key: in_full(&files.key) };
    let of_chain = |fault| TlsError { setting: certificate_setting, file: files.certificate.clone(), fault };
    let of_key = |fault| TlsError { setting: key_setting, file: files.key.clone(), fault };
    let chain = certificate::chain(&files.certificate).map_err(of_chain)?;
    let key = certificate::key(&files.key).map_err(of_key)?;
    let about = certificate::about(&certificate::parse(&chain).map_err(of_chain)?);
    let identity = Identity::new(chain, &key).map_err(|error| match error {
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
    warnings.extend(about.oddity().map(|problem| in_file(certificate_setting, &files.certificate, problem)));
    if is_readable_by_others(&files.key) {
        let problem =
            format!("other users of this machine can read the key; run: chmod o= {}", files.key.display());
        warnings.push(in_file(key_setting, &files.key, problem));
    }
    Ok(Read { identity, about, warnings })
}
