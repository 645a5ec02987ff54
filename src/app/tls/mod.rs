//! The server's own certificate: read at the start, read again on SIGHUP, watched until it expires.

mod certificate;
mod fault;
mod files;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::domain::Timestamp;
use crate::http::{CertificateHealth, Identity, Tls};
use certificate::About;
use fault::Fault;

pub use fault::TlsError;

/// The certificate that is served, and where it came from. Cheap to clone.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<TlsFiles>,
    clock: Arc<dyn Clock>,
    about: Arc<ArcSwap<About>>,
    tls: Arc<Tls>,
}

/// What the two files hold.
struct Read {
    identity: Identity,
    about: About,
    /// What an operator should know, one sentence each.
    warnings: Vec<String>,
}

impl Certificates {
    /// Reads both files. Warnings are for `check` to give.
    ///
    /// # Errors
    ///
    /// When the server cannot show itself with what is in them.
    pub fn open(files: &TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let Read { identity, about, .. } = read(files, clock.wall())?;
        let about = Arc::new(ArcSwap::from_pointee(about));
        let (shown, its_clock) = (Arc::clone(&about), Arc::clone(&clock));
        let tls = Arc::new(Tls::new(identity, move || {
            let about = shown.load();
            CertificateHealth {
                expires: about.expires().to_string(),
                problem: about.problem(its_clock.wall()),
            }
        }));
        Ok(Self { files: Arc::new(files.clone()), clock, about, tls })
    }

    /// What connections are encrypted with.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Reads both files again and says in the log what came of it. New handshakes then use what they hold; if the
    /// server could not show itself with that, everything stays as it is. Waits for the disk.
    pub fn reload(&self) {
        match read(&self.files, self.clock.wall()) {
            Ok(Read { identity, about, warnings }) => {
                for warning in warnings {
                    warn!("{warning}");
                }
                self.tls.change(identity);
                self.about.store(Arc::new(about));
                self.announce("the certificate was read again: new connections use it");
            }
            Err(error) => error!(%error, "the certificate stays the one that was read before"),
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

/// Whether a server can show itself with these files, and what an operator should know of them.
///
/// # Errors
///
/// When it cannot.
pub fn check(files: &TlsFiles, clock: &dyn Clock) -> Result<Vec<String>, TlsError> {
    read(files, clock.wall()).map(|read| read.warnings)
}

fn read(files: &TlsFiles, now: Timestamp) -> Result<Read, TlsError> {
    // In full, so that a message names a place.
    let in_full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let files = TlsFiles { certificate: in_full(&files.certificate), key: in_full(&files.key) };
    let of_chain = |fault| TlsError::certificate(&files.certificate, fault);
    let of_key = |fault| TlsError::key(&files.key, fault);
    let chain = files::chain(&files.certificate).map_err(of_chain)?;
    let files::Key { key, open_to_others } = files::key(&files.key).map_err(of_key)?;
    let certificates = certificate::parse(&chain).map_err(of_chain)?;
    let about = certificate::about(&certificates);
    let identity = match Identity::new(chain.clone(), &key) {
        Ok(identity) => identity,
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(
                match (1..chain.len()).find(|at| Identity::new(vec![chain[*at].clone()], &key).is_ok()) {
                    Some(at) => of_chain(Fault::OwnNotFirst(at + 1)),
                    None => of_key(Fault::OfAnother(files.certificate.clone())),
                },
            );
        }
        // What rustls says of a key names its parts and never shows them.
        Err(error @ rustls::Error::General(_)) => return Err(of_key(Fault::KeyUnusable(error))),
        Err(error) => return Err(of_chain(Fault::Unusable(error))),
    };
    let mut warnings: Vec<String> = Vec::new();
    let in_file = |path: &Path, setting: &str, what: String| format!("{setting} {}: {what}", path.display());
    let order = certificate::order(&certificates).map_err(of_chain)?;
    for what in order.into_iter().chain(about.problem(now)).chain(about.oddity()) {
        warnings.push(in_file(&files.certificate, "tls-cert", what));
    }
    if open_to_others {
        let what =
            format!("other users of this machine can read the key; run: chmod o= {}", files.key.display());
        warnings.push(in_file(&files.key, "tls-key", what));
    }
    Ok(Read { identity, about, warnings })
}
